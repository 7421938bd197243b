"""What the ingest service takes from its environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from mesh import settings
from services.database import DatabaseSettings
from services.lakehouse import lakehouse_uri

_GIB = 1024**3


@dataclass(frozen=True)
class Settings:
    database: DatabaseSettings
    """Where files and jobs are kept."""
    lakehouse_uri: str
    """Where the lake is: `file:///abs/path` or an object store's address. From LAKEHOUSE_URI."""
    spark_remote: str
    """Where Spark Connect is: `sc://host:port`. From SPARK_REMOTE."""
    file_bytes: int = 2 * _GIB
    """How large a file may be, packed or unpacked. From INGEST_FILE_BYTES."""
    lease_seconds: float = 30.0
    """How long a job stays with a process that no longer says that it works on it. From INGEST_LEASE_SECONDS."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Raises SettingsError."""
        return cls(
            database=DatabaseSettings.from_environment(environment),
            lakehouse_uri=lakehouse_uri(environment),
            spark_remote=settings.text(
                environment,
                "SPARK_REMOTE",
                None,
                r"sc://\S+",
                "where Spark Connect is, for example sc://127.0.0.1:15002",
            ),
            file_bytes=settings.whole_number(
                environment, "INGEST_FILE_BYTES", cls.file_bytes, least=1, most=1024 * _GIB
            ),
            lease_seconds=settings.number(environment, "INGEST_LEASE_SECONDS", cls.lease_seconds, least=1, most=3600),
        )
