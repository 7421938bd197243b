"""A lake with gold tables in the shape that ingest gives them, written by delta-rs."""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

FACT_SCHEMA = pa.schema(
    [
        ("row_id", pa.string()),
        ("invoice_no", pa.string()),
        ("kind", pa.string()),
        ("invoice_time", pa.timestamp("us", "UTC")),
        ("date", pa.date32()),
        ("month", pa.string()),
        ("stock_code", pa.string()),
        ("is_product", pa.bool_()),
        ("customer_id", pa.string()),
        ("country", pa.string()),
        ("quantity", pa.int32()),
        ("unit_price", pa.decimal128(18, 4)),
        ("amount", pa.decimal128(24, 4)),
        ("currency_code", pa.string()),
        ("job_id", pa.string()),
        ("file_id", pa.string()),
        ("row_number", pa.int64()),
    ]
)
PRODUCT_SCHEMA = pa.schema(
    [
        ("stock_code", pa.string()),
        ("description", pa.string()),
        ("is_product", pa.bool_()),
        ("unit_price", pa.decimal128(18, 4)),
        ("units_sold", pa.int64()),
        ("first_sold", pa.date32()),
        ("last_sold", pa.date32()),
    ]
)


@dataclass(frozen=True)
class Fact:
    invoice_no: str = "536365"
    kind: str = "SALE"
    date: date = date(2011, 1, 4)
    stock_code: str = "85123A"
    is_product: bool = True
    customer_id: str | None = "17850"
    country: str = "United Kingdom"
    quantity: int = 6
    unit_price: Decimal = Decimal("2.5500")
    currency_code: str = "GBP"

    @property
    def month(self) -> str:
        return f"{self.date:%Y-%m}"

    @property
    def amount(self) -> Decimal:
        return self.quantity * self.unit_price

    def row(self, number: int) -> dict[str, Any]:
        return vars(self) | {
            "row_id": f"{number:064x}",
            "invoice_time": datetime.combine(self.date, time(8, 26), UTC),
            "month": self.month,
            "amount": self.amount,
            "job_id": "job",
            "file_id": "file",
            "row_number": number,
        }


@dataclass(frozen=True)
class Product:
    stock_code: str
    description: str | None
    is_product: bool = True
    unit_price: Decimal | None = Decimal("2.5500")
    units_sold: int = 1
    first_sold: date = date(2010, 12, 1)
    last_sold: date = date(2011, 5, 31)


class GoldLake:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uri = folder.as_uri()
        folder.mkdir(exist_ok=True)

    def write_facts(self, facts: Sequence[Fact], mode: Literal["append", "overwrite"] = "overwrite") -> None:
        self._write("fact_sale", (fact.row(number) for number, fact in enumerate(facts)), FACT_SCHEMA, mode)

    def write_products(self, products: Iterable[Product], mode: Literal["append", "overwrite"] = "overwrite") -> None:
        self._write("dim_product", map(vars, products), PRODUCT_SCHEMA, mode)

    def _write(self, table: str, rows: Iterable[Any], schema: pa.Schema, mode: Literal["append", "overwrite"]) -> None:
        write_deltalake(self.path(table), pa.Table.from_pylist(list(rows), schema), mode=mode)

    def path(self, table: str) -> Path:
        return self.folder / "gold" / table

    def version(self, table: str) -> int:
        return DeltaTable(self.path(table)).version()

    def vacuum(self, table: str) -> None:
        """Removes the files of all versions but the newest."""
        DeltaTable(self.path(table)).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)

    def drop(self, table: str) -> None:
        shutil.rmtree(self.path(table))

    def go_away(self) -> None:
        self.folder.rename(self.folder.with_suffix(".away"))

    def come_back(self) -> None:
        self.folder.with_suffix(".away").rename(self.folder)
