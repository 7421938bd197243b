"""Where the lake's Delta tables are.

The layout is `{LAKEHOUSE_URI}/{bronze|silver|gold}/{table}`; files as they came lie under `{LAKEHOUSE_URI}/landing/`.
Spark writes (services/ingest), everybody else reads with delta-rs (services/gold.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from mesh import settings

NO_VERSION: Final = -1
"""The version of a table that does not exist yet. A fresh table begins at 0."""

FACT_SALE: Final = "gold/fact_sale"
DIM_PRODUCT: Final = "gold/dim_product"
DIM_CUSTOMER: Final = "gold/dim_customer"
DIM_COUNTRY: Final = "gold/dim_country"
DIM_DATE: Final = "gold/dim_date"
MONTHLY_REVENUE: Final = "gold/monthly_revenue"


@dataclass(frozen=True, slots=True)
class Lakehouse:
    """The lake at `uri`: `file:///abs/path`, an absolute path, or an object store (`s3://bucket/prefix`)."""

    uri: str
    storage_options: Mapping[str, str] = field(default_factory=dict)

    @property
    def local_path(self) -> Path | None:
        """The folder of the lake, or None if it lies in an object store."""
        parts = urlsplit(self.uri)
        if parts.scheme == "":
            return Path(self.uri)
        return Path(unquote(parts.path)) if parts.scheme == "file" else None

    def table_uri(self, table: str) -> str:
        """The address of `table`, given as `gold/fact_sale`, for delta-rs and for Spark."""
        return f"{self.uri.rstrip('/')}/{table}"


def lakehouse_uri(environment: Mapping[str, str]) -> str:
    """From LAKEHOUSE_URI. Raises SettingsError."""
    return settings.text(
        environment,
        "LAKEHOUSE_URI",
        None,
        r"/.+|file:///.+|(?!file:)[a-z][a-z0-9+.-]*://[^\s/]\S*",
        "the address of a lake such as file:///srv/lake, /srv/lake or s3://BUCKET/PREFIX",
    )
