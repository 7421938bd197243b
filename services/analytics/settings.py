"""What the analytics service takes from its environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mesh.settings import SettingsError


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
        lakehouse_uri = environment.get("LAKEHOUSE_URI", "")
        if not lakehouse_uri:
            raise SettingsError("LAKEHOUSE_URI is not set: it says where the lake is, for example file:///srv/lake")
        return cls(
            lakehouse_uri=lakehouse_uri,
            query_threads=_positive(environment, "ANALYTICS_QUERY_THREADS", cls.query_threads),
            kept_editions=_positive(environment, "ANALYTICS_KEPT_EDITIONS", cls.kept_editions),
            edition_memory_mib=_positive(environment, "ANALYTICS_EDITION_MEMORY_MIB", cls.edition_memory_mib),
            cached_rows=_positive(environment, "ANALYTICS_CACHED_ROWS", cls.cached_rows),
        )


def _positive(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", text):
        raise SettingsError(f"{name}={text!r} is not a whole number above zero")
    return int(text)
