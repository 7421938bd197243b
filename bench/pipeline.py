"""The pipeline against the same transforms by a plain PySpark script on the same Spark, and by DuckDB with delta-rs.

From files to gold in an empty lake, then the same files once more. Ours begins with the parsing that an upload does,
since the others read the files too. All three must agree on every gold table, or nothing is measured.
"""

import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

import psutil
from deltalake import DeltaTable
from pyarrow import compute, csv, parquet

from bench import plain_duckdb, plain_spark
from bench.cost import Cost, cost
from bench.results import Result
from bench.rounds import rounds
from demo import dataset
from mesh.local import processes, project_root, running
from services.ingest.pipeline import LandedFile, Pipeline
from services.ingest.store.landing import Landing
from services.ingest.store.parsing import parse
from services.ingest.store.spool import Spool
from services.lakehouse import Lakehouse

_LEAST, _MOST, _SECONDS = 3, 5, 270
_REAL = project_root(Path(__file__).parent).parent / "shared" / "data" / "online-retail"
_LIMIT = 2**31
_TABLES = ("fact_sale", "dim_product", "dim_customer", "dim_country", "dim_date", "monthly_revenue")
Load = Callable[[Path], None]


def measure() -> Sequence[Result]:
    folder = Path(tempfile.mkdtemp(prefix="bench-pipeline-"))
    try:
        files = sorted(_REAL.glob("*.csv.gz")) or made_up(folder / "data")
        with running(["spark"]) as stack:
            watched = [psutil.Process(), *processes.of_stack(stack.run.path)]
            return _measure(stack.environment["SPARK_REMOTE"], files, folder, watched)
    finally:
        shutil.rmtree(folder)


def _measure(remote: str, files: Sequence[Path], folder: Path, watched: Sequence[psutil.Process]) -> Sequence[Result]:
    runs: dict[Path, float] = {}
    """Seconds of the pipeline alone, by lake."""

    def ours(lake: Path) -> None:
        landed = _land(files, lake)
        with cost([]) as alone:
            Pipeline(remote, lake.as_uri()).run("bench", landed, lambda *_: None, threading.Event())
        runs.setdefault(lake, alone.wall)

    sides: dict[str, Load] = {
        "ours": ours,
        "spark": lambda lake: plain_spark.load(remote, files, lake),
        "duckdb": lambda lake: plain_duckdb.load(files, lake),
    }
    first: dict[str, list[Cost]] = {side: [] for side in sides}
    again: dict[str, list[Cost]] = {side: [] for side in sides}
    alone = []
    for number in rounds(_LEAST, _MOST, _SECONDS):
        lakes = {side: folder / f"{side}-{number}" for side in sides}
        for costs in (first, again):
            for side, load in sides.items():
                lakes[side].mkdir(exist_ok=True)
                with cost(watched) as spent:
                    load(lakes[side])
                if number:  # the first round warms Spark up
                    costs[side].append(spent)
            _agree({side: _figures(lake / "gold") for side, lake in lakes.items()})
        if number:
            alone.append(runs[lakes["ours"]])
        for lake in lakes.values():
            shutil.rmtree(lake)

    def wall(costs: Sequence[Cost]) -> list[float]:
        return [each.wall for each in costs]

    def cpu(costs: Sequence[Cost]) -> list[float]:
        return [each.cpu for each in costs]

    return [
        Result.of("pipeline: ours / plain PySpark", wall(first["ours"]), wall(first["spark"]), "s", aim=1.25),
        Result.of("pipeline: CPU, ours / plain PySpark", cpu(first["ours"]), cpu(first["spark"]), "s"),
        Result.of("pipeline: without the upload's parsing / plain PySpark", alone, wall(first["spark"]), "s"),
        Result.of("pipeline: same files again / plain PySpark", wall(again["ours"]), wall(again["spark"]), "s"),
        Result.of("pipeline: ours / DuckDB and delta-rs", wall(first["ours"]), wall(first["duckdb"]), "s"),
    ]


def _land(files: Sequence[Path], lake: Path) -> list[LandedFile]:
    """What an upload does."""
    landing = Landing(Lakehouse(lake.as_uri()), _LIMIT)
    landed = []
    for file in files:
        spool = Spool(lake / "spool", _LIMIT)
        spool.write(file.read_bytes())
        spool.flush()
        landed.append(LandedFile(spool.sha256, file.name, landing.land(spool).row_count))
        spool.close()
    return landed


def made_up(folder: Path, rows: int = 200_000) -> list[Path]:
    """The demo's data set in UTF-8 and without malformed rows: the plain scripts read sound CSV only."""
    files = []
    for raw in dataset.write(folder, rows):
        parsed, file = folder / "rows.parquet", folder / f"sound-{raw.name.removesuffix('.gz')}"
        parse(raw, parsed, _LIMIT)
        table = parquet.read_table(parsed)
        sound = table.filter(compute.invert(table["malformed"])).select(table.column_names[1:9])
        csv.write_csv(sound.rename_columns(dataset.COLUMNS), file)
        files.append(file)
    return files


_Figures = dict[str, tuple[int, Decimal]]
"""Rows and revenue of each gold table; no revenue is 0."""


def _figures(gold: Path) -> _Figures:
    found = {}
    for name in _TABLES:
        table = DeltaTable(gold / name).to_pyarrow_table()
        column = {"amount", "revenue"} & set(table.column_names)
        found[name] = (table.num_rows, compute.sum(table[column.pop()]).as_py() if column else Decimal(0))
    return found


def _agree(figures: dict[str, _Figures]) -> None:
    if any(each != figures["ours"] for each in figures.values()):
        raise SystemExit(f"the pipelines differ, so their times mean nothing: {figures}")
