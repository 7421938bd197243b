"""Every rule of docs/dialect.md for a row, in one job; and a made-up shop against the demo's recomputation."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from demo import dataset
from demo.recompute import recompute
from tests.ingest.pipeline.conftest import Lake

GOOD = {
    "InvoiceNo": "536365",
    "StockCode": "85123A",
    "Description": "HEART",
    "Quantity": "6",
    "InvoiceDate": "2010-12-01 08:26:00",
    "UnitPrice": "2.55",
    "CustomerID": "17850",
    "Country": "France",
}
Q = "QUANTITY_INVALID"
CASES: list[tuple[dict[str, str], str | dict[str, Any]]] = [
    ({}, {"invoice_no": "536365", "kind": "SALE", "amount": Decimal("15.3000"), "currency_code": "GBP"}),
    ({"InvoiceNo": " c536365 ", "Quantity": "-6"}, {"invoice_no": "C536365", "kind": "CANCELLATION"}),
    ({"InvoiceNo": "A536365", "UnitPrice": "-11062.06", "Quantity": "1"}, {"kind": "ADJUSTMENT"}),
    ({"Quantity": "-5", "UnitPrice": "0"}, {"kind": "ADJUSTMENT", "amount": Decimal("0.0000")}),
    ({"InvoiceNo": ""}, "INVOICE_INVALID"),
    ({"InvoiceNo": "B536365"}, "INVOICE_INVALID"),
    ({"InvoiceNo": "53636"}, "INVOICE_INVALID"),
    ({"StockCode": "85123a"}, {"stock_code": "85123A", "is_product": True}),
    ({"StockCode": "bank charges"}, {"stock_code": "BANK CHARGES", "is_product": False}),
    ({"StockCode": "DCGS0003"}, {"is_product": True}),
    ({"StockCode": "PADS"}, {"is_product": True}),
    ({"StockCode": "gift_0001_20"}, {"is_product": False}),
    ({"StockCode": ""}, "STOCK_CODE_INVALID"),
    ({"StockCode": "85/123"}, "STOCK_CODE_INVALID"),
    ({"StockCode": "8" * 33}, "STOCK_CODE_INVALID"),
    ({"Description": "  RED \t  HEART "}, {"description": "RED HEART"}),
    ({"Description": ""}, {"description": None}),
    ({"Description": "x" * 300}, {"description": "x" * 256}),
    ({"Quantity": "6.0"}, {"quantity": 6}),
    ({"Quantity": "2147483647"}, {"quantity": 2147483647}),
    ({"Quantity": "2147483648"}, Q),
    ({"Quantity": "0"}, Q),
    ({"Quantity": ""}, Q),
    ({"Quantity": "6.5"}, Q),
    ({"Quantity": "six"}, Q),
    ({"InvoiceNo": "C536365", "Quantity": "6"}, Q),
    ({"InvoiceDate": "2010-12-01 08:26"}, {"invoice_time": datetime(2010, 12, 1, 8, 26, tzinfo=UTC)}),
    ({"InvoiceDate": "2010-12-01T08:26:07"}, {"invoice_time": datetime(2010, 12, 1, 8, 26, 7, tzinfo=UTC)}),
    ({"InvoiceDate": "12/1/2010 8:26"}, {"month": "2010-12", "date": datetime(2010, 12, 1, tzinfo=UTC).date()}),
    ({"InvoiceDate": "2011-02-29 08:26:00"}, "DATE_INVALID"),
    ({"InvoiceDate": "31/12/2010 8:26"}, "DATE_INVALID"),
    ({"InvoiceDate": "1989-12-31 08:26:00"}, "DATE_INVALID"),
    ({"InvoiceDate": "2101-01-01 08:26:00"}, "DATE_INVALID"),
    ({"InvoiceDate": "yesterday"}, "DATE_INVALID"),
    ({"InvoiceDate": ""}, "DATE_INVALID"),
    ({"UnitPrice": "0.0"}, {"unit_price": Decimal("0.0000")}),
    ({"UnitPrice": "1.23450000"}, {"unit_price": Decimal("1.2345")}),
    ({"UnitPrice": "999999999.9999"}, {"unit_price": Decimal("999999999.9999")}),
    ({"UnitPrice": "1000000000"}, "PRICE_INVALID"),
    ({"UnitPrice": "1.23456"}, "PRICE_INVALID"),
    ({"UnitPrice": "-2.55"}, "PRICE_INVALID"),
    ({"UnitPrice": "1e3"}, "PRICE_INVALID"),
    ({"UnitPrice": ""}, "PRICE_INVALID"),
    ({"CustomerID": "17850.0"}, {"customer_id": "17850"}),
    ({"CustomerID": ""}, {"customer_id": None}),
    ({"CustomerID": "guest"}, "CUSTOMER_INVALID"),
    ({"CustomerID": "12345678901"}, "CUSTOMER_INVALID"),
    ({"Country": " EIRE "}, {"country": "EIRE"}),
    ({"Country": " "}, "COUNTRY_INVALID"),
    ({"Country": "x" * 65}, "COUNTRY_INVALID"),
    ({"InvoiceNo": "", "Quantity": "0", "Country": ""}, "INVOICE_INVALID"),  # the first rule that it breaks
]


@pytest.fixture(scope="module")
def cleaned(shared_lake: Lake) -> dict[int, str | dict[str, Any]]:
    """What became of each case: its row in silver or its reason, by number. A description tells equal rows apart."""
    lines = []
    for number, (changes, _) in enumerate(CASES, start=1):
        row = GOOD | changes
        if "Description" not in changes:
            row["Description"] = f"CASE {number}"
        lines.append(",".join(row.values()))
    file = shared_lake.land("cases.csv", lines)
    shared_lake.load(file)
    found: dict[int, str | dict[str, Any]] = {row["row_number"]: row for row in shared_lake.rows("silver/sale_row")}
    found |= {row["row_number"]: row["reason"] for row in shared_lake.rows("silver/quarantined_row")}
    assert len(found) == len(CASES)
    return found


@pytest.mark.parametrize("number", range(1, len(CASES) + 1), ids=[str(changes) for changes, _ in CASES])
def test_a_rule(cleaned: dict[int, str | dict[str, Any]], number: int) -> None:
    expected, found = CASES[number - 1][1], cleaned[number]
    if isinstance(expected, dict) and isinstance(found, dict):
        found = {name: found[name] for name in expected}
    assert found == expected


def test_a_quarantined_row_keeps_its_fields(shared_lake: Lake, cleaned: dict[int, Any]) -> None:
    number = 1 + next(place for place, (changes, _) in enumerate(CASES) if changes.get("Quantity") == "six")
    (row,) = [row for row in shared_lake.rows("silver/quarantined_row") if row["row_number"] == number]
    assert dict(row["fields"]) == GOOD | {"Quantity": "six", "Description": f"CASE {number}"}


def test_a_made_up_shop_is_conserved(lake: Lake, tmp_path: Path) -> None:
    paths = dataset.write(tmp_path / "shop", rows=3000)
    files = [lake.land_bytes(path.name, path.read_bytes()) for path in paths]
    counts = lake.load(*files)
    own = recompute(paths)
    for file in files:
        told = counts[file.file_id]
        assert told.accepted + told.duplicate + sum(told.quarantined.values()) == file.row_count
        assert told.quarantined == own.files[file.file_id].quarantined
    assert sum(each.accepted for each in counts.values()) == own.row_count
