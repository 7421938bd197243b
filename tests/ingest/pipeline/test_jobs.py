"""Jobs that repeat, overlap, break off and run into each other: no row twice, none lost."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from services.ingest.domain.job import Counts, Stage
from services.ingest.pipeline import (
    LakeUnavailableError,
    LandedFile,
    Pipeline,
    PipelineCancelledError,
    RowsNotConservedError,
)
from services.ingest.pipeline.tables import GOLD, SCHEMAS
from tests.cut_proxy import cut_proxy
from tests.ingest.pipeline.conftest import Lake, nothing

SHOP = [
    "536365,85123A,HEART,6,2010-12-01 08:26:00,2.55,17850,United Kingdom",
    "536365,71053,LANTERN,4,2010-12-01 08:26:00,3.39,17850,United Kingdom",
    "536366,85123A,HEART OF WOOD,1,2010-12-03 10:00:00,2.95,,France",
    "536367,85123A,HEART,10,2011-01-02 10:00:00,2.10,12583,France",
    "C536368,85123A,HEART,-2,2011-01-03 10:00:00,2.55,17850,United Kingdom",
    "536369,POST,POSTAGE,1,2011-01-03 11:00:00,18.00,12583,France",
    "536370,85123A,damaged?,-5,2011-01-04 11:00:00,0,,United Kingdom",
    "536371,85123A,HEART,0,2011-01-04 12:00:00,2.55,,United Kingdom",
]
MORE = ["536365,71053,LANTERN,4,2010-12-01 08:26:00,3.39,17850,United Kingdom", *[
    f"5400{n:02},22{n:03},MUG,3,2011-02-0{1 + n % 9} 10:00:00,1.25,17850,EIRE" for n in range(20)
]]  # fmt: skip


def contents(lake: Lake) -> dict[str, Any]:
    """What all tables hold, whichever job brought it and when."""
    passing = {"load_time"}
    return {
        table: Counter(str({k: v for k, v in row.items() if k not in passing}) for row in lake.rows(table))
        for table in SCHEMAS
    }


def figures(lake: Lake) -> dict[str, Any]:
    """What gold holds, whichever file and job brought it."""
    provenance = {"job_id", "file_id", "row_number"}
    return {
        table: Counter(str({k: v for k, v in row.items() if k not in provenance}) for row in lake.rows(table))
        for table in GOLD
    }


@dataclass(frozen=True)
class Loaded:
    """A lake that one job has filled."""

    lake: Lake
    files: list[LandedFile]
    counts: list[Counts]


@pytest.fixture(scope="module")
def shop(spark_remote: str, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    lake = Lake(spark_remote, tmp_path_factory.mktemp("shop"))
    file = lake.land("shop.csv", SHOP)
    return Loaded(lake, [file], [lake.load(file)[file.file_id]])


@pytest.fixture(scope="module")
def both(spark_remote: str, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """With a duplicate in a file, one in two files, and a file without rows."""
    lake = Lake(spark_remote, tmp_path_factory.mktemp("both"))
    files = [lake.land("shop.csv", [*SHOP, SHOP[0]]), lake.land("more.csv", MORE), lake.land("none.csv", [])]
    counts = lake.load(*files)
    return Loaded(lake, files, [counts[file.file_id] for file in files])


def test_gold_is_what_the_rows_say(shop: Loaded) -> None:
    lake = shop.lake
    products = {row["stock_code"]: row for row in lake.rows("gold/dim_product")}
    heart = products["85123A"]
    assert (heart["description"], heart["units_sold"], heart["unit_price"]) == ("HEART", 10, Decimal("2.1000"))
    assert (str(heart["first_sold"]), str(heart["last_sold"])) == ("2010-12-01", "2011-01-02")
    assert not products["POST"]["is_product"]
    customers = {row["customer_id"]: row for row in lake.rows("gold/dim_customer")}
    assert set(customers) == {"17850", "12583"}
    assert (customers["12583"]["invoice_count"], customers["12583"]["revenue"]) == (2, Decimal("39.0000"))
    assert (customers["17850"]["recency_days"], customers["12583"]["recency_days"]) == (34, 1)
    months = {(row["month"], row["country"]): row["revenue"] for row in lake.rows("gold/monthly_revenue")}
    assert months == {
        ("2010-12", "United Kingdom"): Decimal("28.8600"),
        ("2010-12", "France"): Decimal("2.9500"),
        ("2011-01", "France"): Decimal("39.0000"),
        ("2011-01", "United Kingdom"): Decimal("-5.1000"),
    }
    dates = sorted(lake.rows("gold/dim_date"), key=lambda row: row["date"])
    assert (len(dates), str(dates[0]["date"]), dates[0]["day_of_week"], dates[0]["iso_week"]) == (
        35,
        "2010-12-01",
        3,
        48,
    )
    countries = {row["country"]: row["customer_count"] for row in lake.rows("gold/dim_country")}
    assert countries == {"United Kingdom": 1, "France": 1}


def test_the_same_file_again_changes_nothing(shop: Loaded) -> None:
    lake, (file,), (first,) = shop.lake, shop.files, shop.counts
    before = contents(lake)
    versions = {table: lake.version(table) for table in SCHEMAS}
    second = lake.load(file)[file.file_id]
    assert contents(lake) == before
    assert {table: lake.version(table) for table in SCHEMAS} == versions
    assert (first.accepted, first.duplicate, first.quarantined) == (7, 0, {"QUANTITY_INVALID": 1})
    assert (second.accepted, second.duplicate, second.quarantined) == (0, 7, {"QUANTITY_INVALID": 1})


def test_duplicates_in_a_file_and_across_files(both: Loaded) -> None:
    assert [(told.accepted, told.duplicate) for told in both.counts] == [(7, 1), (20, 1), (0, 0)]
    (lantern,) = [row for row in both.lake.rows("silver/sale_row") if row["stock_code"] == "71053"]
    assert (lantern["file_id"], lantern["row_number"]) == (both.files[0].file_id, 2)


@pytest.mark.parametrize("stage", [Stage.SILVER, Stage.GOLD])
def test_a_job_killed_in_the_middle_is_run_again(lake: Lake, stage: Stage) -> None:
    class KilledError(Exception):
        pass

    def kill(reached: Stage, _percent: int) -> None:
        if reached is stage:
            raise KilledError

    file = lake.land("shop.csv", SHOP)
    with pytest.raises(KilledError):
        lake.load(file, job_id="one", progress=kill)
    counts = lake.load(file, job_id="one")[file.file_id]
    assert (counts.accepted, counts.duplicate) == (7, 0)
    assert len(lake.rows("bronze/retail_row")) == 8
    assert len(lake.rows("gold/fact_sale")) == 7


def test_what_a_cancelled_job_left_between_silver_and_gold_is_completed_by_the_next(lake: Lake) -> None:
    cancelled = threading.Event()

    def cancel(reached: Stage, _percent: int) -> None:
        if reached is Stage.GOLD:
            cancelled.set()

    file = lake.land("shop.csv", SHOP)
    with pytest.raises(PipelineCancelledError):
        lake.load(file, progress=cancel, cancelled=cancelled)
    assert lake.rows("gold/fact_sale") == []
    assert lake.load(file)[file.file_id].duplicate == 7
    assert len(lake.rows("gold/fact_sale")) == 7
    assert len(lake.rows("gold/dim_product")) == 3


def test_two_jobs_at_a_time(lake: Lake, both: Loaded) -> None:
    """In a lake that is empty before: they also race to make its tables."""
    shop, more = lake.land("shop.csv", SHOP), lake.land("more.csv", MORE)
    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(lake.load, shop, more, job_id="one")
        two = threads.submit(lake.load, more, shop, job_id="two")
        counts = [one.result(), two.result()]
    for file, rows, known in ((shop, 8, 7), (more, 21, 21)):
        told = [each[file.file_id] for each in counts]
        assert all(each.accepted + each.duplicate + sum(each.quarantined.values()) == rows for each in told)
        assert sum(each.accepted for each in told) <= known
    assert sum(each.accepted for told in counts for each in told.values()) == 7 + 20
    assert len(lake.rows("bronze/retail_row")) == 8 + 21
    assert figures(lake) == figures(both.lake)


def test_rows_that_went_missing_stop_the_job_before_silver(lake: Lake) -> None:
    file = lake.land("shop.csv", SHOP)
    more_than_there_are = LandedFile(file.file_id, file.filename, file.row_count + 1)
    with pytest.raises(RowsNotConservedError) as caught:
        lake.load(more_than_there_are)
    assert (caught.value.rows_read, caught.value.rows_told) == (9, 8)
    assert lake.rows("silver/sale_row") == []


GIVEN_UP = pytest.mark.filterwarnings("ignore:.*RETRIES_EXCEEDED")


@GIVEN_UP
def test_no_spark(lake: Lake) -> None:
    pipeline = Pipeline("sc://127.0.0.1:1", lake.folder.as_uri())
    with pytest.raises(LakeUnavailableError):
        pipeline.run("job", [LandedFile("0" * 64, "a.csv", 1)], nothing, threading.Event())


@GIVEN_UP
def test_a_spark_that_is_cut_off_in_the_middle(lake: Lake) -> None:
    file = lake.land("shop.csv", SHOP)
    host, _, port = lake.spark_remote.removeprefix("sc://").partition(":")
    with cut_proxy(host, int(port)) as proxy:

        def cut(reached: Stage, _percent: int) -> None:
            if reached is Stage.SILVER:
                proxy.cut()

        with pytest.raises(LakeUnavailableError):
            Lake(f"sc://127.0.0.1:{proxy.port}", lake.folder).load(file, job_id="one", progress=cut)
    assert lake.load(file, job_id="one")[file.file_id].accepted == 7
