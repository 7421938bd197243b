"""What the auth service takes from its environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from mesh.settings import SettingsError, whole_number
from services.database import DatabaseSettings

_DAY = 24 * 3600


@dataclass(frozen=True)
class Settings:
    database: DatabaseSettings
    """Where users, sessions and signing keys are kept."""
    issuer: str = "https://retail-mesh.local"
    """`iss` of the access tokens, a URL. From AUTH_ISSUER."""
    audience: str = "retail-mesh"
    """`aud` of the access tokens. From AUTH_AUDIENCE."""
    access_token_life: timedelta = timedelta(minutes=15)
    """From AUTH_ACCESS_TOKEN_SECONDS."""
    session_life: timedelta = timedelta(days=30)
    """How long refreshing goes on after a login. From AUTH_SESSION_SECONDS."""
    key_rotation: timedelta = timedelta(days=30)
    """The age at which a signing key gets a successor. From AUTH_KEY_ROTATION_SECONDS."""
    key_grace: timedelta = timedelta(hours=1)
    """How long a key is published before it signs. From AUTH_KEY_GRACE_SECONDS."""
    bcrypt_cost: int = 12
    """Rounds of hashing a password, as a power of two. From AUTH_BCRYPT_COST."""
    hash_threads: int = 2
    """How many passwords are hashed at the same time; some more wait. From AUTH_HASH_THREADS."""
    admin_password_file: Path | None = None
    """Holds the password of the first user. From ADMIN_PASSWORD_FILE."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Raises SettingsError."""
        admin_password_file = environment.get("ADMIN_PASSWORD_FILE", "")
        return cls(
            database=DatabaseSettings.from_environment(environment),
            issuer=_issuer(environment),
            audience=_audience(environment),
            access_token_life=_seconds(environment, "AUTH_ACCESS_TOKEN_SECONDS", cls.access_token_life, most=_DAY),
            session_life=_seconds(environment, "AUTH_SESSION_SECONDS", cls.session_life, most=3650 * _DAY),
            key_rotation=_seconds(environment, "AUTH_KEY_ROTATION_SECONDS", cls.key_rotation, most=3650 * _DAY),
            key_grace=_seconds(environment, "AUTH_KEY_GRACE_SECONDS", cls.key_grace, most=7 * _DAY),
            bcrypt_cost=whole_number(environment, "AUTH_BCRYPT_COST", cls.bcrypt_cost, least=4, most=20),
            hash_threads=whole_number(environment, "AUTH_HASH_THREADS", cls.hash_threads, least=1, most=64),
            admin_password_file=Path(admin_password_file) if admin_password_file else None,
        )


def _issuer(environment: Mapping[str, str]) -> str:
    issuer = environment.get("AUTH_ISSUER", Settings.issuer)
    try:
        parts = urlsplit(issuer)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and not re.search(r"\s", issuer)
    except ValueError:
        sound = False
    if not sound:
        raise SettingsError(f"AUTH_ISSUER={issuer!r} is not a URL such as https://HOST")
    return issuer


def _audience(environment: Mapping[str, str]) -> str:
    audience = environment.get("AUTH_AUDIENCE", Settings.audience)
    if not re.fullmatch(r"\S+", audience):
        raise SettingsError(f"AUTH_AUDIENCE={audience!r} is not a name without spaces")
    return audience


def _seconds(environment: Mapping[str, str], name: str, default: timedelta, *, most: int) -> timedelta:
    return timedelta(seconds=whole_number(environment, name, round(default.total_seconds()), least=1, most=most))
