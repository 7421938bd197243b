"""Reads gold tables of the lake with delta-rs: which version is the newest, and the rows of one version.

Everything here blocks; call it from a thread.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

import pyarrow
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler

from services.lakehouse import NO_VERSION, Lakehouse

# What delta-rs raises where files are missing, damaged or out of reach.
_UNREADABLE = (DeltaError, OSError, LookupError, ValueError, TypeError)


class LakeUnavailableError(Exception):
    """The lake can't be read now."""


class VersionGoneError(Exception):
    """The lake no longer keeps this version of a table."""


@dataclass(frozen=True)
class Version:
    """One commit of a table. The time tells it from the same number of a table that was dropped and made anew."""

    number: int
    committed: int
    """Milliseconds since 1970, UTC."""


NOT_LOADED = Version(NO_VERSION, 0)
"""Stands for a table that does not exist yet: it has no rows."""


class GoldTable:
    """One gold table, for example `gold/fact_sale`. Threads may share it."""

    def __init__(self, lakehouse: Lakehouse, table: str) -> None:
        self._lakehouse = lakehouse
        self._table = table
        self._lock = Lock()
        self._newest: tuple[DeltaTable, Version] | None = None

    def newest(self) -> Version:
        """The newest version, NOT_LOADED if there is no table. Under a millisecond while nothing was committed.

        Raises LakeUnavailableError.
        """
        with self._lock, self._reading():
            if self._newest is None or not self._still_newest(*self._newest):
                self._newest = None
                try:
                    opened = self._open(None)
                    self._newest = opened, self._version(opened)
                except TableNotFoundError:
                    self._require_reachable()
                    return NOT_LOADED
            return self._newest[1]

    def rows(self, version: Version, columns: Sequence[str]) -> pyarrow.Table:
        """All rows of that version, in memory. Raises VersionGoneError, LakeUnavailableError."""
        try:
            return self.stream(version, columns).read_all()
        except (pyarrow.ArrowException, OSError) as problem:
            raise self.unreadable(version) from problem

    def stream(self, version: Version, columns: Sequence[str]) -> pyarrow.RecordBatchReader:
        """The rows of that version one batch after the other. If that fails midway, `unreadable` says why.

        Raises VersionGoneError, LakeUnavailableError.
        """
        # delta-rs looks for each commit up to the number that it is given, for hours if that is beyond the newest.
        if not 0 <= version.number <= self.newest().number:
            raise VersionGoneError(f"{self._table} has no version {version.number}")
        try:
            opened = self._open(version.number)
            if self._version(opened) == version:
                return pyarrow.RecordBatchReader.from_stream(opened.scan(columns=list(columns)))
        except _UNREADABLE as problem:
            raise self.unreadable(version) from problem
        raise VersionGoneError(f"{self._table} was made anew since version {version.number}")

    def unreadable(self, version: Version) -> VersionGoneError | LakeUnavailableError:
        """What it means that reading `version` failed: where the table moved on, its files may have been vacuumed."""
        try:
            moved_on = self.newest() != version
        except LakeUnavailableError as away:
            return away
        if moved_on:
            return VersionGoneError(f"{self._table} no longer has version {version.number}")
        return LakeUnavailableError(f"{self._table} can't be read at version {version.number}")

    def _open(self, number: int | None) -> DeltaTable:
        options = dict(self._lakehouse.storage_options)
        return DeltaTable(self._lakehouse.table_uri(self._table), version=number, storage_options=options)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except _UNREADABLE as problem:
            raise LakeUnavailableError(f"{self._table} can't be read") from problem

    def _require_reachable(self) -> None:
        """Tells an empty lake from one that is away: for delta-rs a missing folder is merely a table not found.

        Raises OSError.
        """
        if self._lakehouse.local_path is not None:
            next(self._lakehouse.local_path.iterdir(), None)

    def _still_newest(self, opened: DeltaTable, version: Version) -> bool:
        """Whether nothing was committed since.

        An incremental update alone would not see that the table was dropped, and would mix the files of a table that
        was dropped and made anew with the old one's. Reading the newest commit again, and opening the table afresh
        whenever anything differs, sees both.
        """
        try:
            opened.update_incremental()
            return self._version(opened) == version
        except _UNREADABLE:
            return False

    def _version(self, opened: DeltaTable) -> Version:
        """Raises what _UNREADABLE lists if the commit is no longer in the table's log."""
        # Not by `history`: it counts from the newest commit down, whichever version is opened and whatever is
        # committed meanwhile (https://github.com/delta-io/delta-rs/issues/4488).
        log = DeltaStorageHandler(opened.table_uri, dict(self._lakehouse.storage_options))
        with log.open_input_file(f"_delta_log/{opened.version():020}.json") as commit:
            action, _, _ = commit.read().partition(b"\n")
        return Version(opened.version(), int(json.loads(action)["commitInfo"]["timestamp"]))
