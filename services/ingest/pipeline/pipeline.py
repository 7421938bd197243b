"""One job, from landed files to gold."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql.connect import functions as F  # noqa: N812
from pyspark.sql.connect.client.retries import DefaultPolicy
from pyspark.sql.connect.session import SparkSession

from services.ingest.domain.job import Counts, Stage
from services.ingest.pipeline import gold
from services.ingest.pipeline.cleaning import cleaned, quarantined, sales
from services.ingest.pipeline.lake import Lake, naming_failures
from services.ingest.pipeline.tables import GOLD, LANDED_ROW, QUARANTINED_ROW, RETAIL_ROW, SALE_ROW
from services.lakehouse import DIM_COUNTRY, DIM_CUSTOMER, DIM_DATE, DIM_PRODUCT, FACT_SALE, MONTHLY_REVENUE

_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class LandedFile:
    file_id: str
    filename: str
    row_count: int
    """As it was counted when the file was uploaded."""


class RowsNotConservedError(Exception):
    def __init__(self, filename: str, rows_read: int, rows_told: int) -> None:
        super().__init__(f"{filename} has {rows_read} rows and {rows_told} are accounted for")
        self.filename = filename
        self.rows_read = rows_read
        self.rows_told = rows_told


class PipelineCancelledError(Exception):
    """It was stopped from outside."""


Progress = Callable[[Stage, int], None]


class Pipeline:
    """Needs no Spark before a job runs."""

    def __init__(self, spark_remote: str, lakehouse_uri: str) -> None:
        self._remote = spark_remote
        self._uri = lakehouse_uri.rstrip("/")

    def run(
        self, job_id: str, files: Sequence[LandedFile], progress: Progress, cancelled: threading.Event
    ) -> tuple[dict[str, Counts], dict[str, int]]:
        """Counts by file_id, and the Delta version of each gold table. Blocks; run again it does nothing twice.

        `progress` is told each stage and how many percent of the job are done. Raises PipelineCancelledError soon
        after `cancelled` is set, RowsNotConservedError before silver is touched, LakeUnavailableError.
        """
        try:
            with naming_failures(), _session(self._remote, cancelled) as session:
                return _Job(job_id, files, Lake(session, self._uri), progress, cancelled).run()
        except Exception as failure:
            if cancelled.is_set() and not isinstance(failure, PipelineCancelledError):
                raise PipelineCancelledError from failure  # what an interrupted query raises
            raise


class _Job:
    def __init__(
        self, job_id: str, files: Sequence[LandedFile], lake: Lake, progress: Progress, cancelled: threading.Event
    ) -> None:
        self._job_id = job_id
        self._files = files
        self._ids = [file.file_id for file in files]
        self._lake = lake
        self._progress = progress
        self._cancelled = cancelled

    def run(self) -> tuple[dict[str, Counts], dict[str, int]]:
        self._begin(Stage.BRONZE, 2)
        self._lake.create_tables()
        self._bronze()
        self._begin(Stage.SILVER, 25)
        rows = cleaned(self._rows()).persist()
        try:
            found = self._classify(rows)
            self._begin(Stage.SILVER, 45)
            self._silver(rows, found)
        finally:
            rows.unpersist()
        self._begin(Stage.GOLD, 65)
        if found.span is not None:
            self._gold(found.span)
        counts = self._counts(found)
        versions = self._lake.versions(GOLD)
        self._begin(Stage.DONE, 100)
        return counts, versions

    def _begin(self, stage: Stage, percent: int) -> None:
        if self._cancelled.is_set():
            raise PipelineCancelledError
        self._progress(stage, percent)

    def _bronze(self) -> None:
        """Appends the rows of files that bronze has not. A file is there whole or not at all: one commit brings it."""
        known = self._lake.table(RETAIL_ROW).where(F.col("file_id").isin(self._ids)).select("file_id").distinct()
        have = {row.file_id for row in known.collect()}
        missing = [file for file in self._files if file.file_id not in have and file.row_count]
        if not missing:
            return
        names = F.create_map(*(F.lit(text) for file in missing for text in (file.file_id, file.filename)))
        landed = self._lake.landed([file.file_id for file in missing], LANDED_ROW)
        new = landed.withColumns(
            {"filename": names[F.col("file_id")], "job_id": F.lit(self._job_id), "load_time": F.current_timestamp()}
        )
        self._lake.insert_new(RETAIL_ROW, new, ["file_id", "row_number"], _of_files(missing))

    def _rows(self) -> DataFrame:
        """The bronze rows of this job's files, with the place of their file in the job."""
        places = F.create_map(*(F.lit(value) for place, file_id in enumerate(self._ids) for value in (file_id, place)))
        rows = self._lake.table(RETAIL_ROW).where(F.col("file_id").isin(self._ids))
        return rows.withColumn("position", places[F.col("file_id")])

    def _classify(self, rows: DataFrame) -> "_Found":
        """Raises RowsNotConservedError."""
        by_reason = rows.groupBy("file_id", "reason").agg(
            F.count("*").alias("rows"),
            F.min(F.to_date("invoice_time")).alias("first"),
            F.max(F.to_date("invoice_time")).alias("last"),
        )
        found = _Found(dict.fromkeys(self._ids, 0), {file_id: {} for file_id in self._ids})
        for row in by_reason.collect():
            if row.reason is None:
                found.sound[row.file_id] = row.rows
                found.dates += [row.first, row.last]
            else:
                found.quarantined[row.file_id][row.reason] = row.rows
        for file in self._files:
            told = found.sound[file.file_id] + sum(found.quarantined[file.file_id].values())
            if told != file.row_count:
                raise RowsNotConservedError(file.filename, file.row_count, told)
        return found

    def _silver(self, rows: DataFrame, found: "_Found") -> None:
        steps = []
        if found.span is not None:
            new = sales(rows, self._job_id)
            steps.append(partial(self._lake.insert_new, SALE_ROW, new, ["row_id"], _within(found.span)))
        if any(found.quarantined.values()):
            refused = quarantined(rows, self._job_id)
            keys = ["file_id", "row_number"]
            steps.append(partial(self._lake.insert_new, QUARANTINED_ROW, refused, keys, _of_files(self._files)))
        _side_by_side(steps)

    def _gold(self, span: tuple[date, date]) -> None:
        """All that silver has of these days: what a job left between silver and gold, the next completes."""
        silver = self._lake.table(SALE_ROW)
        lacking = silver.where(F.col("date").between(*span)).drop("description")
        self._lake.insert_new(FACT_SALE, lacking, ["row_id"], _within(span))
        self._begin(Stage.GOLD, 75)
        version = self._lake.versions([FACT_SALE])[FACT_SALE]
        facts = self._lake.table(FACT_SALE, version)
        invoices = gold.invoices(facts).persist()
        steps = {
            DIM_PRODUCT: (gold.products(facts, silver), ["stock_code"]),
            DIM_CUSTOMER: (gold.customers(invoices), ["customer_id"]),
            DIM_COUNTRY: (gold.countries(invoices), ["country"]),
            DIM_DATE: (gold.dates(invoices), ["date"]),
            MONTHLY_REVENUE: (gold.monthly_revenue(invoices), ["month", "country"]),
        }
        try:
            with self._lake.made_from(FACT_SALE, version):
                _side_by_side([partial(self._lake.upsert, name, *what) for name, what in steps.items()])
        finally:
            invoices.unpersist()
        self._begin(Stage.GOLD, 95)

    def _counts(self, found: "_Found") -> dict[str, Counts]:
        """From what silver holds, so that a job that was begun several times counts what each time has done."""
        mine = self._lake.table(SALE_ROW).where(F.col("job_id") == self._job_id)
        if found.span is not None:
            mine = mine.where(F.col("date").between(*found.span))
        accepted = {row.file_id: row["count"] for row in mine.groupBy("file_id").count().collect()}
        return {
            file_id: Counts(accepted.get(file_id, 0), sound - accepted.get(file_id, 0), found.quarantined[file_id])
            for file_id, sound in found.sound.items()
        }


class _Found:
    """What became of the rows of each file, and the days that the sound ones are of."""

    def __init__(self, sound: dict[str, int], refused: dict[str, dict[str, int]]) -> None:
        self.sound = sound
        self.quarantined = refused
        self.dates: list[date] = []

    @property
    def span(self) -> tuple[date, date] | None:
        """None: there are no sound rows."""
        return (min(self.dates), max(self.dates)) if self.dates else None


def _side_by_side(steps: Sequence[Callable[[], None]]) -> None:
    """Runs all to their end; raises what the first of them raised that did."""
    with ThreadPoolExecutor(len(steps) or 1) as threads:
        for running in [threads.submit(step) for step in steps]:
            running.result()


def _within(span: tuple[date, date]) -> str:
    """Rows that are equal are of the same day. Saying so lets Delta skip the files of all other days."""
    return f"t.date BETWEEN DATE '{span[0]}' AND DATE '{span[1]}'"


def _of_files(files: Sequence[LandedFile]) -> str:
    ids = ", ".join(f"'{file.file_id}'" for file in files)  # hexadecimal
    return f"t.file_id IN ({ids})"


@contextlib.contextmanager
def _session(remote: str, cancelled: threading.Event) -> Iterator[SparkSession]:
    """A session of its own for the job; its queries are interrupted when `cancelled` is set."""
    session = SparkSession(connection=remote)
    # By default it would try for 10 minutes. The job can be begun again.
    session.client.set_retry_policies([DefaultPolicy(max_retries=3, max_backoff=1000)])
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_SECONDS):
            if cancelled.is_set():
                with contextlib.suppress(Exception):  # it may be gone
                    session.interruptAll()

    watching = threading.Thread(target=watch, name="cancel-spark", daemon=True)
    watching.start()
    try:
        session.conf.set("spark.sql.session.timeZone", "UTC")
        session.conf.set("spark.sql.mapKeyDedupPolicy", "LAST_WIN")  # a file may name a further column `_rest`
        yield session
    finally:
        over.set()
        watching.join()
        with contextlib.suppress(Exception):  # it may be gone
            session.stop()
