"""Files of the dialect, and those that are none (docs/dialect.md, "The file")."""

import contextlib
import gzip
import io
import resource
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from services.ingest.domain import errors
from services.ingest.store.parsing import SCHEMA, Parsed, parse

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
ROW = "536365,85123A,HEART,6,2010-12-01 08:26:00,2.55,17850.0,France"
LIMIT = 100_000_000


class Door:
    """Parses content as if it had been uploaded."""

    def __init__(self, folder: Path) -> None:
        self._source, self._target = folder / "original", folder / "rows.parquet"

    def take(self, content: bytes | str, limit: int = LIMIT) -> Parsed:
        self._source.write_bytes(content.encode() if isinstance(content, str) else content)
        return parse(self._source, self._target, limit)

    def take_file(self, source: Path) -> Parsed:
        return parse(source, self._target, 10 * LIMIT)

    def rows(self, content: bytes | str) -> list[dict[str, Any]]:
        self.take(content)
        table = parquet.read_table(self._target)
        assert table.schema.equals(SCHEMA)
        return table.to_pylist()  # type: ignore[no-any-return]


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


def test_a_row_stays_as_it_came(door: Door) -> None:
    (row,) = door.rows(f"{HEADER}\n{ROW}\n")
    assert row == {
        "row_number": 1,
        "invoice_no": "536365",
        "stock_code": "85123A",
        "description": "HEART",
        "quantity": "6",
        "invoice_date": "2010-12-01 08:26:00",
        "unit_price": "2.55",
        "customer_id": "17850.0",
        "country": "France",
        "further": None,
        "malformed": False,
        "raw": None,
    }


def test_columns_in_any_order_case_and_spelling_and_further_ones(door: Door) -> None:
    header = " country ,Customer ID,PRICE,InvoiceDate,Quantity,Description,StockCode,Invoice,Shop"
    (row,) = door.rows(f"{header}\nFrance,17850,2.55,2010-12-01 08:26,6,HEART,85123A,536365,Paris\n")
    assert (row["invoice_no"], row["unit_price"], row["customer_id"]) == ("536365", "2.55", "17850")
    assert row["further"] == [("Shop", "Paris")]


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (f"{HEADER}\n{ROW} é\n".encode(), "utf-8"),
        (f"\ufeff{HEADER}\n{ROW} é\n".encode(), "utf-8"),
        (f"{HEADER}\n{ROW} é\n".encode("latin-1"), "cp1252"),
        (f"{HEADER}\r\n{ROW} é\r\n".encode(), "utf-8"),
        (f"{HEADER}\r{ROW} é\r".encode(), "utf-8"),
        (gzip.compress(f"{HEADER}\n".encode()) + gzip.compress(f"{ROW} é\n".encode()), "utf-8"),
    ],
    ids=["utf-8", "byte order mark", "latin-1", "CRLF", "CR", "gzip of two members"],
)
def test_encodings_line_ends_and_gzip(door: Door, content: bytes, encoding: str) -> None:
    assert [row["country"] for row in door.rows(content)] == ["France é"]
    assert door.take(content) == Parsed(1, encoding)


def test_quotes_commas_and_line_breaks_inside_fields(door: Door) -> None:
    row = ROW.replace("HEART", '"HEART, ""RED""\nAND SMALL"')
    assert door.rows(f"{HEADER}\n{row}\n")[0]["description"] == 'HEART, "RED"\nAND SMALL'


def test_malformed_rows_keep_all_they_had(door: Door) -> None:
    short, long, broken = ROW.rsplit(",", 1)[0], ROW + ",a,b", ROW.replace("HEART", '"HEART')
    rows = door.rows("\n".join([HEADER, short, long, broken, ROW]))
    assert [row["malformed"] for row in rows] == [True, True, True, False]
    assert [row["raw"] for row in rows] == [short, long, broken, None]
    assert (rows[0]["country"], rows[0]["further"]) == (None, None)
    assert (rows[1]["country"], rows[1]["further"]) == ("France", [("_rest", "a,b")])
    assert (rows[2]["invoice_no"], rows[2]["further"]) == (None, [("_rest", broken)])
    assert [row["row_number"] for row in rows] == [1, 2, 3, 4]


def test_a_header_alone_is_a_file_of_no_rows(door: Door) -> None:
    assert door.rows(HEADER) == []


def test_windows_1252_and_its_unused_bytes(door: Door) -> None:
    (row,) = door.rows(HEADER.encode() + b"\n" + ROW.encode() + b" \x80\x81\n")
    assert row["country"] == "France \u20ac\ufffd"


def test_a_file_of_several_batches(door: Door) -> None:
    rows = door.rows(f"{HEADER}\n" + f"{ROW}\n" * 50_001)
    assert [row["row_number"] for row in rows] == list(range(1, 50_002))
    assert {row["country"] for row in rows} == {"France"}


def test_a_limit_is_of_bytes_packed_or_unpacked(door: Door) -> None:
    content = f"{HEADER}\n{ROW}\n".encode()
    assert door.take(gzip.compress(content), limit=len(content)) == Parsed(1, "utf-8")
    with pytest.raises(errors.FileTooLargeError):
        door.take(gzip.compress(content), limit=len(content) - 1)


def _workbook() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"", errors.FileEmptyError, id="no byte"),
        pytest.param(gzip.compress(b""), errors.FileEmptyError, id="an empty gzip"),
        pytest.param(b"\n\n", errors.ColumnsMissingError, id="blank lines"),
        pytest.param(HEADER.replace(",", ";").encode(), errors.ColumnsMissingError, id="semicolons"),
        pytest.param(HEADER.replace(",Country", "").encode(), errors.ColumnsMissingError, id="a column less"),
        pytest.param(f"{HEADER},country".encode(), errors.FileNotCsvError, id="a column twice"),
        pytest.param(f'"{HEADER}'.encode(), errors.FileNotCsvError, id="an open quote in the header"),
        pytest.param(f"{HEADER}\n\0".encode(), errors.FileNotCsvError, id="NUL"),
        pytest.param(_workbook(), errors.FileNotCsvError, id="Excel"),
        pytest.param(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", errors.FileNotCsvError, id="old Excel"),
        pytest.param(f"{HEADER}\n{ROW}\n".encode("utf-16"), errors.FileNotCsvError, id="UTF-16"),
        pytest.param(gzip.compress(HEADER.encode() * 99)[:-9], errors.GzipDamagedError, id="a cut gzip"),
        pytest.param(gzip.compress(HEADER.encode())[:-8] + bytes(8), errors.GzipDamagedError, id="a wrong CRC"),
        pytest.param(gzip.compress(HEADER.encode()) + b"more", errors.GzipDamagedError, id="bytes behind a gzip"),
        pytest.param(b"\x1f\x8bnothing", errors.GzipDamagedError, id="no gzip"),
        pytest.param(gzip.compress(b"x" * (LIMIT + 1)), errors.FileTooLargeError, id="a gzip bomb"),
    ],
)
def test_what_is_no_file_of_the_dialect(door: Door, content: bytes, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        door.take(content)


def test_missing_columns_are_named(door: Door) -> None:
    with pytest.raises(errors.ColumnsMissingError) as caught:
        door.take("InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice\n")
    assert caught.value.facts == {"columns": "CustomerID,Country"}


@contextlib.contextmanager
def memory_at_most(limit: int) -> Iterator[None]:
    """Bytes, of Python's objects and of the process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    try:
        yield
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < limit
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2 * limit // 1024


def test_a_line_of_200_mb_takes_no_memory(door: Door, tmp_path: Path) -> None:
    source = tmp_path / "long.csv"
    with source.open("wb") as file:
        file.write(f"{HEADER}\n".encode())
        for _ in range(200):
            file.write(b"x" * 1_000_000)
    with pytest.raises(errors.RowTooLongError), memory_at_most(20_000_000):
        door.take_file(source)


def test_long_rows_take_memory_for_a_few_at_a_time(door: Door, tmp_path: Path) -> None:
    source = tmp_path / "long.csv.gz"
    with gzip.open(source, "wb", compresslevel=1) as file:
        file.write(f"{HEADER}\n".encode())
        for _ in range(120):
            file.write(ROW.replace("HEART", "x" * 1_000_000).encode() + b"\n")
    with memory_at_most(80_000_000):
        assert door.take_file(source) == Parsed(120, "utf-8")
