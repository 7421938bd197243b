"""Reads the rows that were quarantined, from the lake. Everything here blocks."""

from collections.abc import Sequence
from dataclasses import dataclass

from deltalake import DeltaTable, QueryBuilder
from deltalake.exceptions import DeltaError, TableNotFoundError

from services.gold import LakeUnavailableError
from services.ingest.domain.job import JobFile
from services.lakehouse import Lakehouse

TABLE = "silver/quarantined_row"


@dataclass(frozen=True)
class Place:
    """Of a row among those of a job."""

    position: int
    """Of its file in the job; 1 for the first."""
    row_number: int


@dataclass(frozen=True)
class QuarantinedRow:
    place: Place
    file_id: str
    filename: str
    reason: str
    fields: dict[str, str]


class Quarantine:
    def __init__(self, lakehouse: Lakehouse) -> None:
        self._lakehouse = lakehouse

    def rows(self, files: Sequence[JobFile], behind: Place | None, limit: int) -> list[QuarantinedRow]:
        """At most `limit` rows of these files in their order, behind a place. Raises LakeUnavailableError."""
        begin = behind or Place(1, 0)
        found: list[QuarantinedRow] = []
        query = self._query()
        for position, file in enumerate(files[begin.position - 1 :], start=begin.position):
            if query is None or len(found) == limit:
                break
            if file.counts is None or file.counts.rows_quarantined:
                after = begin.row_number if position == begin.position else 0
                found += _rows_of(query, file, position, after, limit - len(found))
        return found

    def _query(self) -> QueryBuilder | None:
        """None: nothing has been quarantined yet."""
        try:
            table = DeltaTable(self._lakehouse.table_uri(TABLE), storage_options=dict(self._lakehouse.storage_options))
        except TableNotFoundError:
            if self._lakehouse.local_path is not None and not self._lakehouse.local_path.exists():
                raise LakeUnavailableError("the lake is away") from None
            return None
        except (DeltaError, OSError, ValueError) as problem:
            raise LakeUnavailableError(f"{TABLE} can't be read") from problem
        return QueryBuilder().register("quarantined", table)


def _rows_of(query: QueryBuilder, file: JobFile, position: int, after: int, limit: int) -> list[QuarantinedRow]:
    # A file id is hexadecimal and the rest are integers: nothing in here is a caller's text.
    statement = f"""
        SELECT row_number, reason, fields FROM quarantined
        WHERE file_id = '{file.file_id}' AND row_number > {after:d} ORDER BY row_number LIMIT {limit:d}"""  # noqa: S608
    try:
        rows = query.execute(statement).read_all()
    except Exception as problem:  # DataFusion has no class of its own for files that can't be read
        raise LakeUnavailableError(f"{TABLE} can't be read") from problem
    return [
        QuarantinedRow(Place(position, number), file.file_id, file.filename, reason, dict(fields or ()))
        for number, reason, fields in zip(*(rows[name].to_pylist() for name in rows.column_names), strict=True)
    ]
