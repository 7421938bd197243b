"""The lake's tables in one Spark session: reading them, and the two ways in which rows get in."""

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc
from pyspark.errors import PySparkException
from pyspark.errors.exceptions.connect import SparkConnectGrpcException, SparkException, UnknownException
from pyspark.sql import DataFrame
from pyspark.sql.connect import functions as F  # noqa: N812
from pyspark.sql.connect.session import SparkSession
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_random_exponential

from services.ingest.pipeline.tables import SCHEMAS
from services.lakehouse import NO_VERSION

_NO_FEATURES = "'delta.enableDeletionVectors' = 'false'"  # any Delta reader shall be able to read the lake
_APPLICATION = "spark.databricks.delta.write.txnAppId"
_VERSION = "spark.databricks.delta.write.txnVersion"
_OF_THE_MACHINE = (SparkConnectGrpcException, SparkException, UnknownException)
"""How I/O errors, a Spark that stops and a session that went with it arrive. A defect of a query has another type."""
_CONFLICTS = (
    "DELTA_CONCURRENT",
    "DELTA_METADATA_CHANGED",
    "DELTA_PROTOCOL_CHANGED",
    "DELTA_CREATE_TABLE_WITH_NON_EMPTY_LOCATION",  # the other's table has a folder, but no first commit yet
)


class LakeUnavailableError(Exception):
    """Spark or the lake can't be reached now."""


@contextlib.contextmanager
def naming_failures() -> Iterator[None]:
    """Raises LakeUnavailableError for what is no defect of a query."""
    try:
        yield
    except (grpc.RpcError, OSError) as failure:
        raise LakeUnavailableError(type(failure).__name__) from failure
    except SparkConnectGrpcException as failure:
        if type(failure) not in _OF_THE_MACHINE:
            raise
        raise LakeUnavailableError(failure.getCondition() or type(failure).__name__) from failure


def _is_conflict(failure: BaseException) -> bool:
    """Another job has written to, or made, the same table meanwhile; every step can be repeated."""
    return isinstance(failure, PySparkException) and (failure.getCondition() or "").startswith(_CONFLICTS)


_again_after_conflict = retry(
    retry=retry_if_exception(_is_conflict),
    stop=stop_after_attempt(8),
    wait=wait_random_exponential(0.2, max=2),
    reraise=True,
)


class Lake:
    def __init__(self, session: SparkSession, uri: str) -> None:
        self._session = session
        self._uri = uri

    def create_tables(self) -> None:
        """Made from their schema: a table that a first write makes has been seen to MERGE far more slowly."""
        with ThreadPoolExecutor(4) as side_by_side:
            list(side_by_side.map(self._create_table, SCHEMAS))

    @_again_after_conflict
    def _create_table(self, table: str) -> None:
        self._session.sql(
            f"CREATE TABLE IF NOT EXISTS {self._name(table)} ({SCHEMAS[table]}) USING delta "
            f"TBLPROPERTIES ({_NO_FEATURES})"
        )

    def table(self, table: str, version: int | None = None) -> DataFrame:
        """As it is when it is read, or as it was."""
        reader = self._session.read.format("delta")
        return (reader if version is None else reader.option("versionAsOf", version)).load(f"{self._uri}/{table}")

    def landed(self, file_ids: Sequence[str], schema: str) -> DataFrame:
        """The rows of landed files, each with its `file_id`."""
        paths = [f"{self._uri}/landing/{file_id}/rows.parquet" for file_id in file_ids]
        rows = self._session.read.schema(schema).parquet(*paths)
        return rows.withColumn("file_id", F.regexp_extract("_metadata.file_path", "landing/([0-9a-f]{64})/", 1))

    def versions(self, tables: Sequence[str]) -> dict[str, int]:
        with ThreadPoolExecutor(4) as side_by_side:
            return dict(zip(tables, side_by_side.map(self._version, tables), strict=True))

    def _version(self, table: str) -> int:
        row = self._session.sql(f"DESCRIBE HISTORY {self._name(table)} LIMIT 1").first()
        return NO_VERSION if row is None else int(row.version)

    @contextlib.contextmanager
    def made_from(self, source: str, version: int) -> Iterator[None]:
        """Each MERGE in here is left out where the table was made from that version of `source` already, or a later.

        Delta keeps the number in the table's log, in the commit that it belongs to. So of two jobs that both refresh a
        table the one that knows less never has the last word.
        """
        self._session.conf.set(_APPLICATION, source)
        self._session.conf.set(_VERSION, str(version))
        try:
            yield
        finally:
            self._session.conf.unset(_APPLICATION)
            self._session.conf.unset(_VERSION)

    @_again_after_conflict
    def insert_new(self, table: str, rows: DataFrame, keys: Sequence[str], condition: str = "TRUE") -> None:
        """Inserts the rows whose key the table has not among its rows that meet `condition`."""
        self._merge(table, rows, f"{condition} AND {_same_key(keys)}", "WHEN NOT MATCHED THEN INSERT *")

    @_again_after_conflict
    def upsert(self, table: str, rows: DataFrame, keys: Sequence[str]) -> None:
        """Inserts the rows whose key is new, and updates those that differ."""
        same = " AND ".join(f"t.{name} <=> s.{name}" for name in rows.columns if name not in keys)
        clauses = f"WHEN MATCHED AND NOT ({same}) THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
        self._merge(table, rows, _same_key(keys), clauses)

    def _merge(self, table: str, rows: DataFrame, condition: str, clauses: str) -> None:
        view = f"rows_of_{table.replace('/', '_')}"
        rows.createOrReplaceTempView(view)
        self._session.sql(f"MERGE INTO {self._name(table)} t USING {view} s ON {condition} {clauses}").collect()

    def _name(self, table: str) -> str:
        return f"delta.`{self._uri}/{table}`"


def _same_key(keys: Sequence[str]) -> str:
    return " AND ".join(f"t.{name} = s.{name}" for name in keys)
