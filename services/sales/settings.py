"""What the sales service takes from its environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.database import DatabaseSettings


@dataclass(frozen=True)
class Settings:
    database: DatabaseSettings
    """Where sales are kept."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Raises SettingsError."""
        return cls(database=DatabaseSettings.from_environment(environment))
