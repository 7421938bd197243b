"""What the analytics service takes from its environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from mesh.settings import whole_number
from services.lakehouse import lakehouse_uri


@dataclass(frozen=True)
class Settings:
    lakehouse_uri: str
    """Where the lake is: `file:///abs/path` or an object store's address. From LAKEHOUSE_URI."""
    query_threads: int = 4
    """How many queries run at the same time; more wait. From ANALYTICS_QUERY_THREADS."""
    kept_editions: int = 3
    """How many states of the lake are held, so that listings of old ones go on. From ANALYTICS_KEPT_EDITIONS."""
    edition_memory_mib: int = 1024
    """What each of them may take before it spills to disk. From ANALYTICS_EDITION_MEMORY_MIB."""
    cached_rows: int = 100_000
    """How many rows of answers are kept for each of them. From ANALYTICS_CACHED_ROWS."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Raises SettingsError."""
        return cls(
            lakehouse_uri=lakehouse_uri(environment),
            query_threads=whole_number(environment, "ANALYTICS_QUERY_THREADS", cls.query_threads, least=1, most=256),
            kept_editions=whole_number(environment, "ANALYTICS_KEPT_EDITIONS", cls.kept_editions, least=1, most=100),
            edition_memory_mib=whole_number(
                environment, "ANALYTICS_EDITION_MEMORY_MIB", cls.edition_memory_mib, least=16, most=10**7
            ),
            cached_rows=whole_number(environment, "ANALYTICS_CACHED_ROWS", cls.cached_rows, least=1, most=10**9),
        )
