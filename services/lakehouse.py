"""Where the lake's Delta tables are, and how a reader finds what is in them now.

The layout is `{LAKEHOUSE_URI}/{bronze|silver|gold}/{table}`; files as they came lie under `{LAKEHOUSE_URI}/landing/`.
Spark writes (services/ingest), everybody else reads with delta-rs and DuckDB through this module.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

NO_VERSION: Final = -1
"""The version of a table that does not exist yet. A fresh table begins at 0."""

FACT_SALE: Final = "gold/fact_sale"
DIM_PRODUCT: Final = "gold/dim_product"
DIM_CUSTOMER: Final = "gold/dim_customer"
DIM_COUNTRY: Final = "gold/dim_country"
DIM_DATE: Final = "gold/dim_date"
MONTHLY_REVENUE: Final = "gold/monthly_revenue"

_COMMIT = re.compile(r"(\d{20})\.json")
# A reader that takes a table's Parquet files at face value would answer wrongly if one of these were in use.
_NOT_PLAIN_PARQUET: Final = frozenset({"deletionVectors", "columnMapping"})


class TableNotReadableError(Exception):
    """The table uses a Delta feature that plain Parquet readers do not understand."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of a table: the Parquet files that make it up, which never change once written."""

    table: str
    version: int
    files: tuple[str, ...]

    @property
    def sql(self) -> str:
        """A DuckDB table expression over the snapshot, for example `SELECT sum(amount) FROM {snapshot.sql}`.

        Raises:
            ValueError: the table has no file yet, so that DuckDB could not tell its columns.
        """
        if not self.files:
            raise ValueError(f"{self.table} has no rows at version {self.version}")
        quoted = ", ".join("'" + file.replace("'", "''") + "'" for file in self.files)
        return f"read_parquet([{quoted}])"


@dataclass(frozen=True, slots=True)
class Lakehouse:
    """The lake at `uri`: `file:///abs/path`, an absolute path, or an object store (`s3://bucket/prefix`)."""

    uri: str
    storage_options: Mapping[str, str] = field(default_factory=dict)
    _handles: dict[str, DeltaTable] = field(default_factory=dict, repr=False, compare=False)

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

    def version(self, table: str) -> int:
        """The newest version of `table`, or `NO_VERSION` where there is none. Cheap enough to ask before each read.

        On a local lake it lists the log (30 us); elsewhere it asks only for commits after the last one seen. Blocks.
        """
        folder = self.local_path
        return self._remote_version(table) if folder is None else _listed_version(folder / table / "_delta_log")

    def snapshot(self, table: str) -> Snapshot | None:
        """What `table` holds now, or None if it does not exist. Blocks for some milliseconds.

        Raises:
            TableNotReadableError: see there.
        """
        try:
            opened = DeltaTable(self.table_uri(table), storage_options=dict(self.storage_options))
        except TableNotFoundError:
            return None
        features = _NOT_PLAIN_PARQUET.intersection(opened.protocol().reader_features or ())
        if features or opened.metadata().partition_columns:
            raise TableNotReadableError(f"{table}: {', '.join(sorted(features)) or 'partitioned'}")
        # delta-rs gives local files as URL-quoted paths.
        local = self.local_path is not None
        files = sorted(unquote(uri) if local else uri for uri in opened.file_uris())
        return Snapshot(table, opened.version(), tuple(files))

    def _remote_version(self, table: str) -> int:
        handle = self._handles.get(table)
        try:
            if handle is None:
                handle = DeltaTable(self.table_uri(table), storage_options=dict(self.storage_options))
                self._handles[table] = handle
            else:
                handle.update_incremental()
        except TableNotFoundError:
            self._handles.pop(table, None)
            return NO_VERSION
        return handle.version()


def _listed_version(log: Path) -> int:
    try:
        names = [entry.name for entry in log.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return NO_VERSION
    return max((int(match[1]) for name in names if (match := _COMMIT.fullmatch(name))), default=NO_VERSION)
