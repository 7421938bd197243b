"""Thousands of rows that are almost right, and the gold made of them, against plain Python; and texts made to hurt."""

import csv
import io
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from demo.recompute import recompute
from tests.ingest.pipeline import reference
from tests.ingest.pipeline.conftest import HEADER, Lake
from tests.ingest.pipeline.reference import Sale

VALUES = {
    "InvoiceNo": ["536365", "536366", "536367", "C536368", "c536368", "A536369", "536365 ", "53636", "C 53636", ""],
    "StockCode": ["85123A", "85123a", "22423", "22423", "POST", "pads", "PADS1", "DCGS0003", "a/b", "\u017f", ""],
    "Description": ["HEART", "HEART", " HEART", "HEART\t RED", "LANTERN", "", "damaged?", 'A, "B"', "É", "x" * 300],
    "Quantity": ["6", "6", "-6", "1", "-1", "6.0", "6.", "+6", ".6", "0", "-0", "2147483648", "-2147483648", "", "6e1"],
    "InvoiceDate": ["2010-12-01 08:26:00", "2010-12-01 08:26", "2010-12-01T08:26:00", "12/1/2010 8:26",
                    "12/01/2010 08:26", "2010-12-31 23:59:59", "2011-02-28 00:00", "2011-02-29 00:00",
                    "2010-12-01T08:26", "2010-12-01 8:26", "2010-12-01 24:00", "1/13/2011 9:05", "13/1/2011 9:05",
                    "1/1/11 9:05", "2010-12-01", "1989-12-31 00:00", "2010-12-01 08:26:60", "2010-12-01 08:26:00Z"],
    "UnitPrice": ["2.55", "2.55", "3.1", "0", "-0", "00002.55", "2.5500000", "2.55001", "2.", ".5", "-2.55", "1e3",
                  "1000000000", "999999999.9999", "NaN", "2,55", ""],
    "CustomerID": ["17850", "17850", "12583", "17850.0", "17850.", "", " ", "17850.5", "12345678901", "-1", "\u0663"],
    "Country": ["France", "France", "United Kingdom", "EIRE ", "", "y" * 64, "y" * 65],
}  # fmt: skip
STRANGE = " \t\n\r\f\v\x1c\x85\u00a0\u2028\u212aCcß\u017f0\u06619.,-+/:T\"'éE☃😀"


def odd_rows(count: int, seed: int) -> list[list[str]]:
    """Rows of fields that are right, almost right, or right but for one character."""
    pick = random.Random(seed)

    def text(values: Sequence[str]) -> str:
        chance = pick.random()
        if chance < 0.75:
            return pick.choice(values[:3])
        found = pick.choice(values)
        if chance < 0.92:
            return found
        place = pick.randrange(len(found) + 1)
        return found[:place] + pick.choice(STRANGE) + found[place + pick.randrange(2) :]

    return [[text(values) for values in VALUES.values()] for _ in range(count)]


ROWS = odd_rows(6000, seed=11)
FOUND = {number: reference.cleaned(row) for number, row in enumerate(ROWS, start=1)}
_LAST_TO_FIRST = {found: number for number, found in reversed(FOUND.items()) if isinstance(found, Sale)}
SALES = {number: sale for sale, number in _LAST_TO_FIRST.items()}
"""What must be in silver, by row number: the first of equal ones."""


def as_csv(rows: Sequence[Sequence[str]], header: str = HEADER) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([header.split(","), *rows])
    return text.getvalue().encode()


@pytest.fixture(scope="module")
def loaded(shared_lake: Lake) -> Lake:
    shared_lake.load(shared_lake.land_bytes("odd.csv", as_csv(ROWS)))
    return shared_lake


def test_each_row_becomes_what_the_dialect_says(loaded: Lake) -> None:
    refused = {row["row_number"]: row["reason"] for row in loaded.rows("silver/quarantined_row")}
    assert refused == {number: found for number, found in FOUND.items() if isinstance(found, str)}
    assert len(set(refused.values())) == 7  # all but ROW_MALFORMED
    silver = loaded.rows("silver/sale_row")
    assert {row["row_number"]: tuple(row[name] for name in Sale._fields) for row in silver} == SALES
    for row in silver:
        sale = SALES[row["row_number"]]
        derived = (sale.kind, sale.is_product, sale.amount, sale.date, sale.month)
        assert tuple(row[name] for name in ("kind", "is_product", "amount", "date", "month")) == derived
    assert len({row["row_id"] for row in silver}) == len(silver)


def test_gold_is_what_the_rows_add_up_to(loaded: Lake) -> None:
    for table, expected in reference.gold(SALES.values()).items():
        found = loaded.rows(table)
        assert sorted(found, key=str) == sorted(expected, key=str), table


def test_a_quarantined_row_keeps_its_fields_as_they_came(loaded: Lake) -> None:
    for row in loaded.rows("silver/quarantined_row"):
        assert dict(row["fields"]) == dict(zip(VALUES, ROWS[row["row_number"] - 1], strict=True))


def test_the_demo_recomputes_the_same(tmp_path: Path) -> None:
    found = [reference.cleaned(row) for row in ROWS]
    raw = tmp_path / "odd.csv"
    raw.write_bytes(as_csv(ROWS))
    own = recompute([raw])
    (figures,) = own.files.values()
    assert figures.quarantined == Counter(each for each in found if isinstance(each, str))
    sales = {each for each in found if isinstance(each, Sale)}
    assert (own.row_count, own.revenue) == (len(sales), sum(sale.amount for sale in sales))


def test_texts_made_to_hurt(lake: Lake) -> None:
    """Carelessly written rules take up to an hour for one of these, or fail the job."""
    much = 900_000
    good = ["536365", "85123A", "HEART", "6", "2010-12-01 08:26:00", "2.55", "17850", "France", "", ""]
    hurting = {
        0: "5" + " " * much + "36365",
        1: " " * much,
        2: "HEART" + " " * much + "RED",
        3: "6." + "0" * much,
        4: "2010-12-01" + " " * much + "08:26:00",
        5: "2.55" + "0" * much,
        6: "0" * much,
        7: "x" * much,
    }
    rows = [[*good[:place], text, *good[place + 1 :]] for place, text in hurting.items()]
    rows += [[*good[:5], "0" * much + "2.55", *good[6:]], [*good, "one more than the header"]]
    file = lake.land_bytes("hurts.csv", as_csv(rows, f"{HEADER},_rest,Note"))
    counts = lake.load(file)[file.file_id]
    assert counts.quarantined == {
        "ROW_MALFORMED": 1,
        "INVOICE_INVALID": 1,
        "STOCK_CODE_INVALID": 1,
        "DATE_INVALID": 1,
        "CUSTOMER_INVALID": 1,
        "COUNTRY_INVALID": 1,
    }
    assert (counts.accepted, counts.duplicate) == (2, 2)
