"""The recomputation in SQL against the rules of docs/dialect.md written once more, in plain Python."""

import csv
import gzip
import io
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from demo.recompute import COLUMNS, Figures, digest, judge, recompute, records

HEADER = ",".join(COLUMNS)
GOOD = ("536365", "85123A", "RED HEART", "6", "2010-12-01 08:26:00", "2.55", "17850", "France")
BLANKS = " \t\n\r\f"
Sale = tuple[str, str, str | None, int, datetime, Decimal, str | None, str]


def but(**changes: str) -> Sequence[str]:
    return [changes.get(column, value) for column, value in zip(COLUMNS, GOOD, strict=True)]


def parsed(fields: Sequence[str]) -> Sale | str:  # noqa: PLR0911 - one for each rule
    """The cleaned fields of a row that is not malformed, or the reason why it is quarantined."""
    invoice, stock, description, quantity, time, price, customer, country = [field.strip(BLANKS) for field in fields]
    if not re.fullmatch("[CAca]?[0-9]{6}", invoice):
        return "INVOICE_INVALID"
    if not re.fullmatch("[A-Za-z0-9 ._-]{1,32}", stock):
        return "STOCK_CODE_INVALID"
    invoice, stock = invoice.upper(), stock.upper()
    units = int(quantity.split(".")[0]) if re.fullmatch(r"[+-]?[0-9]{1,10}(\.0*)?", quantity) else 0
    if units == 0 or not -(2**31) <= units < 2**31 or (invoice[0] == "C" and units > 0):
        return "QUANTITY_INVALID"
    moment = moment_of(time)
    if moment is None or not 1990 <= moment.year <= 2100:
        return "DATE_INVALID"
    if not re.fullmatch(r"[+-]?[0-9]+(\.[0-9]{0,4}0*)?", price):
        return "PRICE_INVALID"
    if abs(Decimal(price)) >= 10**9 or (Decimal(price) < 0 and invoice[0] != "A"):
        return "PRICE_INVALID"
    if customer and not re.fullmatch(r"[0-9]{1,10}(\.0*)?", customer):
        return "CUSTOMER_INVALID"
    if not 1 <= len(country) <= 64:
        return "COUNTRY_INVALID"
    words = re.sub(f"[{BLANKS}]+", " ", description)[:256] or None
    return invoice, stock, words, units, moment, Decimal(price), customer.split(".")[0] or None, country


def moment_of(text: str) -> datetime | None:
    if found := re.fullmatch("([0-9]{4})-([0-9]{2})-([0-9]{2})(?: |(T))([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?", text):
        year, month, day, t, hour, minute, second = found.groups()
        if t and not second:
            return None
    elif found := re.fullmatch("([0-9]{1,2})/([0-9]{1,2})/([0-9]{4}) ([0-9]{1,2}):([0-9]{2})", text):
        month, day, year, hour, minute = found.groups()
        second = None
    else:
        return None
    try:
        return datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0))  # noqa: DTZ001
    except ValueError:
        return None


def as_csv_cuts(text: str) -> list[list[str] | None]:
    """As csv cuts them; a record that it can't read is its first line, and the next one begins behind that."""
    lines = list(io.StringIO(text, newline=""))
    found: list[list[str] | None] = []
    while lines:
        reader = csv.reader(lines[:100], strict=True)
        try:
            fields: list[str] | None = next(reader)
            taken = reader.line_num
        except csv.Error:
            fields, taken = None, 1
        if fields != []:
            found.append(fields)
        del lines[:taken]
    return found


def written(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([COLUMNS, *rows])
    return text.getvalue()


def judged(path: Path) -> list[str | None]:
    """Each row's reason."""
    with duckdb.connect() as database:
        judge(database, {"it": path})
        return [reason for (reason,) in database.execute("SELECT reason FROM judged ORDER BY row_number").fetchall()]


def almost(*values: str) -> st.SearchStrategy[str]:
    """One of these, with a character too many or too few, or any text."""
    given_text = st.sampled_from(values)
    noise = st.text(st.sampled_from("0123456789.+-eCAac/:T ~\t\v\x85éß\u0131\u2028"), max_size=2)
    changed = st.builds(
        lambda text, place, extra, cut: text[: min(place, len(text))] + extra + text[place + cut :],
        given_text,
        st.integers(0, 20),
        noise,
        st.integers(0, 1),
    )
    anything = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
    return st.one_of(given_text, given_text, given_text, changed, anything)


FIELDS = st.tuples(
    almost("536365", "C536365", "a536365", "A536365", " 536365 ", ""),
    almost("85123A", "85123a", "POST", "gift_0001_20", "BANK CHARGES", "8" * 33),
    almost("HEART", " RED \t HEART ", "", "damaged?", 'A, "B"', "x" * 255 + "  yz"),
    almost("6", "-6", "6.0", "6.", "0", "2147483647", "-2147483648", "2147483648", "six"),
    almost("2010-12-01 08:26:00", "2010-12-01 08:26", "2010-12-01T08:26:00", "12/1/2010 8:26", "12/01/2010 08:26",
           "2011-02-29 08:26", "2010-12-1 08:26", "2010-12-01 24:00:00", "2010-12-01 08:26:60", "1989-12-31 23:59:59",
           "2100-12-31 23:59", "31/12/2010 8:26", "2010-12-01  08:26", "2010-12-01"),
    almost("2.55", "0", "-2.55", "2.5550000", "2.55555", "999999999.9999", "1000000000", ".5", "2.", "1e3", "NaN"),
    almost("17850", "17850.0", "", "1234567890", "12345678901", "guest"),
    almost("France", " EIRE ", "", " ", "x" * 64, "x" * 65),
)  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recompute") / "some.csv"


@settings(max_examples=30, deadline=None)
@given(st.lists(FIELDS, max_size=50))
def test_each_row_is_judged_by_the_rules(path: Path, rows: list[tuple[str, ...]]) -> None:
    path.write_bytes(written(rows).encode())
    results = [parsed(row) for row in rows]
    assert judged(path) == [result if isinstance(result, str) else None for result in results]
    sales = {result for result in results if not isinstance(result, str)}
    own = recompute([path])
    months = {f"{sale[4]:%Y-%m}" for sale in sales}
    assert own.row_count == len(sales)
    assert own.invoice_count == len({sale[0] for sale in sales})
    assert own.revenue == sum(sale[3] * sale[5] for sale in sales)
    assert own.revenue_by_month == {
        month: sum(sale[3] * sale[5] for sale in sales if f"{sale[4]:%Y-%m}" == month) for month in months
    }


@given(st.text(st.sampled_from('a, "\n\r\v\u2028'), max_size=60))
@settings(deadline=None)
@example('"' + "\n" * 99 + '"\na\n')
@example('"' + "\n" * 100 + '"\na\n')
@example('5" MUG,a\n"b')
@example('"a"b\n"a"')
def test_records_are_cut_as_csv_cuts_them(text: str) -> None:
    assert list(records(text)) == as_csv_cuts(text)


@pytest.mark.parametrize(("lines", "malformed"), [(52, 0), (53, 54)])
def test_a_record_is_no_longer_than_1_mib(lines: int, malformed: int) -> None:
    found = list(records('"' + ("x" * 20_000 + "\n") * lines + '",b\na,b\n'))
    assert found[-1] == ["a", "b"]
    assert [fields is None or len(fields) != 2 for fields in found].count(True) == malformed


def figures(tmp_path: Path, *contents: bytes) -> Figures:
    paths = []
    for number, content in enumerate(contents):
        paths.append(tmp_path / f"{number}.csv")
        paths[-1].write_bytes(content)
    return recompute(paths)


def row(*fields: str) -> str:
    return ",".join(fields) + "\n"


WHOLE = f"{HEADER}\n" + row(*GOOD)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(WHOLE.encode(), id="plain"),
        pytest.param(WHOLE.encode("utf-8-sig"), id="byte order mark"),
        pytest.param(gzip.compress(WHOLE.encode()), id="gzip"),
        pytest.param(WHOLE.replace("\n", "\r\n").encode(), id="CRLF"),
        pytest.param(WHOLE.replace("\n", "\r").encode(), id="CR"),
        pytest.param(WHOLE.replace("\n", "\n\n").rstrip("\n").encode(), id="blank line and no last line end"),
        pytest.param(WHOLE.replace("RED HEART", "CAFÉ 5 €").encode("cp1252"), id="Windows-1252"),
        pytest.param(WHOLE.replace("RED HEART", '"RED\n""HEART"", A"').encode(), id="quotes"),
        pytest.param(f" {HEADER.upper().replace(',', ' , ')}\n{row(*GOOD)}".encode(), id="blanks and capitals"),
        pytest.param(
            WHOLE.replace("InvoiceNo", "Invoice").replace("UnitPrice", "Price").replace("CustomerID", "Customer ID")
            .encode(), id="Online Retail II",
        ),
        pytest.param((row(*reversed(COLUMNS)) + row(*reversed(GOOD))).encode(), id="other order"),
        pytest.param(f"more,{HEADER}\nx,{row(*GOOD)}".encode(), id="further column"),
    ],
)  # fmt: skip
def test_a_file_of_one_row(tmp_path: Path, content: bytes) -> None:
    own = figures(tmp_path, content)
    assert (own.revenue, own.row_count, own.invoice_count) == (Decimal("15.30"), 1, 1)
    assert own.revenue_by_month == {"2010-12": Decimal("15.30")}
    assert [(file.rows, file.sound, file.quarantined) for file in own.files.values()] == [(1, 1, {})]


def test_a_header_only(tmp_path: Path) -> None:
    own = figures(tmp_path, HEADER.encode())
    assert (own.revenue, own.row_count, own.invoice_count) == (Decimal(0), 0, 0)
    assert own.revenue_by_month == {}
    assert [(file.rows, file.sound) for file in own.files.values()] == [(0, 0)]


def test_equal_rows_count_once_across_files_and_a_file_twice_is_one(tmp_path: Path) -> None:
    same = row(*but(InvoiceNo=" 536365", StockCode="85123a", CustomerID="17850.0", UnitPrice="2.5500"))
    other = row(*but(InvoiceNo="C536366", Quantity="-2", InvoiceDate="1/4/2011 9:30"))
    own = figures(tmp_path, WHOLE.encode(), WHOLE.encode(), f"{HEADER}\n{same}{other}".encode())
    assert (own.row_count, own.invoice_count, own.revenue) == (2, 2, Decimal("10.20"))
    assert own.revenue_by_month == {"2010-12": Decimal("15.30"), "2011-01": Decimal("-5.10")}
    assert [file.sound for file in own.files.values()] == [1, 2]


def test_a_quote_that_never_closes_costs_one_row(tmp_path: Path) -> None:
    torn = row("536366", "85123A", '"RED HEART', *GOOD[3:])
    content = f"{HEADER}\n{torn}{row(*GOOD)}{row(*but(Quantity='0'))}{row(*GOOD[:7])}".encode()
    (file,) = figures(tmp_path, content).files.values()
    assert (file.rows, file.sound) == (4, 1)
    assert file.quarantined == {"ROW_MALFORMED": 2, "QUANTITY_INVALID": 1}


def test_files_are_known_by_their_content(tmp_path: Path) -> None:
    own = figures(tmp_path, WHOLE.encode())
    assert list(own.files) == [digest(tmp_path / "0.csv")]
