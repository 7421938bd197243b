"""What the search service takes from its environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mesh.settings import SettingsError


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
        lakehouse_uri = environment.get("LAKEHOUSE_URI", "")
        if not lakehouse_uri:
            raise SettingsError("LAKEHOUSE_URI is not set: it says where the lake is, for example file:///srv/lake")
        currency_code = environment.get("SEARCH_CURRENCY_CODE", cls.currency_code)
        if not re.fullmatch("[A-Z]{3}", currency_code):
            raise SettingsError(f"SEARCH_CURRENCY_CODE={currency_code!r} is not a code of three capitals such as GBP")
        return cls(
            lakehouse_uri=lakehouse_uri,
            currency_code=currency_code,
            poll_seconds=_positive(environment, "SEARCH_POLL_SECONDS", cls.poll_seconds),
            kept_indexes=round(_positive(environment, "SEARCH_KEPT_INDEXES", cls.kept_indexes)),
        )


def _positive(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, str(default))
    if not re.fullmatch(r"\d+(\.\d+)?", text) or float(text) <= 0:
        raise SettingsError(f"{name}={text!r} is not a number above zero")
    return float(text)
