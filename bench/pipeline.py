"""The pipeline against the same transforms by a plain PySpark script on the same Spark, and by DuckDB with delta-rs.

From files to gold in an empty lake; ours begins with the parsing that an upload does. All three must agree.
"""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

from deltalake import DeltaTable
from pyarrow import compute

from bench import plain_duckdb, plain_spark
from bench.results import Result
from demo import dataset
from mesh.local import running
from services.ingest.pipeline import LandedFile, Pipeline
from services.ingest.store.landing import Landing
from services.ingest.store.spool import Spool
from services.lakehouse import Lakehouse

_ROUNDS = 4
_REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "online-retail"
_LIMIT = 2**31


def measure() -> Sequence[Result]:
    folder = Path(tempfile.mkdtemp(prefix="bench-pipeline-"))
    try:
        files = sorted(_REAL.glob("*.csv.gz")) or dataset.write(folder / "data")
        with running(["spark"]) as stack:
            return _measure(stack.environment["SPARK_REMOTE"], files, folder)
    finally:
        shutil.rmtree(folder)


def _measure(remote: str, files: Sequence[Path], folder: Path) -> Sequence[Result]:
    ours, spark, duck = [], [], []
    for number in range(_ROUNDS + 1):
        lakes = [folder / f"{name}-{number}" for name in ("ours", "spark", "duckdb")]
        times = [
            _timed(lambda lake: _ours(remote, files, lake), lakes[0]),
            _timed(lambda lake: plain_spark.load(remote, files, lake), lakes[1]),
            _timed(lambda lake: plain_duckdb.load(files, lake), lakes[2]),
        ]
        tables = [lakes[0] / "gold" / "fact_sale", lakes[1] / "fact_sale", lakes[2] / "fact_sale"]
        figures = {_figures(table) for table in tables}
        if len(figures) != 1:
            raise SystemExit(f"the three pipelines differ, so their times mean nothing: {figures}")
        if number:  # the first round warms Spark up
            ours.append(times[0])
            spark.append(times[1])
            duck.append(times[2])
        for lake in lakes:
            shutil.rmtree(lake)
    return [
        Result.of("pipeline: ours / plain PySpark", ours, spark, "s", aim=1.25),
        Result.of("pipeline: ours / DuckDB and delta-rs in one process", ours, duck, "s"),
    ]


def _timed(load: Callable[[Path], None], lake: Path) -> float:
    lake.mkdir()
    begin = time.monotonic()
    load(lake)
    return time.monotonic() - begin


def _ours(remote: str, files: Sequence[Path], lake: Path) -> None:
    landing = Landing(Lakehouse(lake.as_uri()), _LIMIT)
    landed = []
    for file in files:
        spool = Spool(lake / "spool", _LIMIT)
        spool.write(file.read_bytes())
        spool.flush()
        landed.append(LandedFile(spool.sha256, file.name, landing.land(spool).row_count))
        spool.close()
    Pipeline(remote, lake.as_uri()).run("bench", landed, lambda *_: None, threading.Event())


def _figures(table: Path) -> tuple[int, Decimal]:
    amounts = DeltaTable(table).to_pyarrow_table(columns=["amount"])["amount"]
    return len(amounts), Decimal(compute.sum(amounts).as_py()).quantize(Decimal("0.0001"))
