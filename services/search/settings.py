"""What the search service takes from its environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from mesh.settings import number, text, whole_number
from services.lakehouse import lakehouse_uri


@dataclass(frozen=True)
class Settings:
    lakehouse_uri: str
    """Where the lake is: `file:///abs/path` or an object store's address. From LAKEHOUSE_URI."""
    currency_code: str = "GBP"
    """ISO 4217 code of the prices in dim_product, which does not name it. From SEARCH_CURRENCY_CODE."""
    poll_seconds: float = 1.0
    """How long a new version of dim_product may go unnoticed. From SEARCH_POLL_SECONDS."""
    kept_indexes: int = 3
    """For how many versions an index is kept, so that their listings go on. From SEARCH_KEPT_INDEXES."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Raises SettingsError."""
        return cls(
            lakehouse_uri=lakehouse_uri(environment),
            currency_code=text(
                environment,
                "SEARCH_CURRENCY_CODE",
                cls.currency_code,
                "[A-Z]{3}",
                "a code of three capitals such as GBP",
            ),
            poll_seconds=number(environment, "SEARCH_POLL_SECONDS", cls.poll_seconds, least=0.01, most=3600),
            kept_indexes=whole_number(environment, "SEARCH_KEPT_INDEXES", cls.kept_indexes, least=1, most=100),
        )
