"""Where the database is and how much of it one process takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from mesh.settings import SettingsError, whole_number


@dataclass(frozen=True)
class DatabaseSettings:
    url: URL = field(repr=False)  # the password is in it
    """With the asyncpg driver. From DATABASE_URL, `postgresql://user:password@host:port/database`."""
    pool_size: int = 10
    """Connections that one process opens at most. From DATABASE_POOL_SIZE."""
    pool_wait_seconds: float = 2.0
    """How long a call waits for a free connection before the store counts as unavailable."""
    connect_seconds: float = 5.0
    """How long opening a connection may take."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "DatabaseSettings":
        """Raises SettingsError, without the URL: it holds the password."""
        return cls(
            url=_url(environment.get("DATABASE_URL", "")),
            pool_size=whole_number(environment, "DATABASE_POOL_SIZE", cls.pool_size, least=1, most=1000),
        )


def _url(text: str) -> URL:
    if not text:
        raise SettingsError("DATABASE_URL is not set: it says where PostgreSQL is, postgresql://USER:PASSWORD@HOST/DB")
    try:
        url = make_url(text)
        url.port  # noqa: B018 - parsed only when asked for
    except (ArgumentError, ValueError):
        raise SettingsError("DATABASE_URL is not postgresql://USER:PASSWORD@HOST:PORT/DATABASE") from None
    if url.get_backend_name() not in {"postgresql", "postgres"} or not url.database:
        raise SettingsError("DATABASE_URL is not postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    url = url.set(drivername="postgresql+asyncpg")
    if "sslmode" in url.query:  # libpq's name for what asyncpg calls ssl
        url = url.difference_update_query(["sslmode"]).update_query_dict({"ssl": url.query["sslmode"]})
    return url
