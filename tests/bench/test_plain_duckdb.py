"""The DuckDB peer does the same work: its figures are those of the independent recomputation."""

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable
from pyarrow import compute

from bench import pipeline, plain_duckdb
from demo.recompute import recompute


def test_it_finds_what_the_recomputation_finds_and_adds_nothing_twice(tmp_path: Path) -> None:
    files = pipeline.made_up(tmp_path / "data", rows=12_000)
    expected = recompute(files)
    for _ in range(2):
        plain_duckdb.load(files, tmp_path / "lake")
        facts = table(tmp_path / "lake" / "gold" / "fact_sale")
        months = table(tmp_path / "lake" / "gold" / "monthly_revenue")
        assert len(facts) == expected.row_count
        assert compute.count_distinct(facts["invoice_no"]).as_py() == expected.invoice_count
        assert compute.sum(facts["amount"]).as_py() == expected.revenue
        by_month: dict[str, Decimal] = {}
        for row in months.to_pylist():
            by_month[row["month"]] = by_month.get(row["month"], Decimal(0)) + row["revenue"]
        assert by_month == expected.revenue_by_month
        refused = sum(sum(file.quarantined.values()) for file in expected.files.values())
        assert len(table(tmp_path / "lake" / "quarantine")) == refused > 0


def table(path: Path) -> pa.Table:
    return DeltaTable(path).to_pyarrow_table()
