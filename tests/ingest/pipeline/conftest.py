"""The real pipeline over a lake in a folder, in the one Spark of the run."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from services.ingest.domain.job import Counts, Stage
from services.ingest.pipeline import LandedFile, Pipeline
from services.ingest.store.landing import Landing
from services.ingest.store.spool import Spool
from services.lakehouse import Lakehouse

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"


def nothing(_stage: Stage, _percent: int) -> None:
    """Progress that nobody looks at."""


@dataclass
class Lake:
    spark_remote: str
    folder: Path
    jobs: int = 0

    def land(self, filename: str, lines: Sequence[str]) -> LandedFile:
        """A file of these rows, as if it had been uploaded."""
        return self.land_bytes(filename, "\n".join([HEADER, *lines, ""]).encode())

    def land_bytes(self, filename: str, content: bytes) -> LandedFile:
        spool = Spool(self.folder / f".{filename}", 10**9)
        spool.write(content)
        spool.flush()
        parsed = Landing(Lakehouse(self.folder.as_uri()), 10**9).land(spool)
        spool.close()
        return LandedFile(spool.sha256, filename, parsed.row_count)

    def load(
        self,
        *files: LandedFile,
        job_id: str = "",
        progress: Callable[[Stage, int], None] = nothing,
        cancelled: threading.Event | None = None,
    ) -> dict[str, Counts]:
        self.jobs += 1
        pipeline = Pipeline(self.spark_remote, self.folder.as_uri())
        chosen = job_id or f"job-{self.jobs}"
        return pipeline.run(chosen, files, progress, cancelled or threading.Event())[0]

    def rows(self, table: str) -> list[dict[str, Any]]:
        return DeltaTable(self.folder / table).to_pyarrow_table().to_pylist()  # type: ignore[no-any-return]

    def version(self, table: str) -> int:
        return int(DeltaTable(self.folder / table).version())


@pytest.fixture
def lake(spark_remote: str, tmp_path: Path) -> Lake:
    return Lake(spark_remote, tmp_path)


@pytest.fixture(scope="module")
def shared_lake(spark_remote: str, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return Lake(spark_remote, tmp_path_factory.mktemp("lake"))
