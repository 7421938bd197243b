"""The figures straight from the raw files, with DuckDB and none of the platform's code; both must agree.

The rules of docs/dialect.md are written here a second time, on purpose and in another language: records are cut by a
regular expression, and everything else is SQL. Use it on files that the platform has taken; others may raise anything.
"""

import gzip
import hashlib
import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa

COLUMNS = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
_OTHER_NAMES = {"invoice": "invoiceno", "price": "unitprice", "customer id": "customerid"}
_LINES_OF_A_RECORD = 100
_CHARACTERS_OF_A_RECORD = 1024 * 1024
"""No line is added to what is longer."""
_FIELD = r'(?:"(?:[^"]|"")*"|[^",\r\n][^,\r\n]*|)'
_RECORD = re.compile(rf"{_FIELD}(?:,{_FIELD})*(?=[\r\n]|\Z)")
_EACH_FIELD = re.compile(rf"(?:\A|,)({_FIELD})")

_RULES = r"""
CREATE TABLE texts AS
SELECT file, row_number, malformed,
    -- Matched before they are made upper case: there are letters, such as the dotless i, that become one of A to Z.
    CASE WHEN regexp_full_match(cut(InvoiceNo), '[CAca]?[0-9]{6}') THEN upper(cut(InvoiceNo)) END AS invoice,
    CASE WHEN regexp_full_match(cut(StockCode), '[A-Za-z0-9 ._-]{1,32}') THEN upper(cut(StockCode)) END AS stock,
    left(regexp_replace(cut(Description), '\s+', ' ', 'g'), 256) AS description,
    cut(Quantity) AS quantity_text, cut(InvoiceDate) AS time_text, cut(UnitPrice) AS price_text,
    cut(CustomerID) AS customer_text, cut(Country) AS country
FROM records;

CREATE TABLE typed AS
SELECT *,
    CASE WHEN regexp_full_match(quantity_text, '[+-]?[0-9]{1,10}(\.0*)?')
        THEN try_cast(split_part(quantity_text, '.', 1) AS INTEGER) END AS quantity,
    -- DuckDB takes more than the dialect: days of one digit, several blanks, 24:00, a leap second.
    CASE WHEN regexp_full_match(time_text, '\d{4}-\d\d-\d\d( \d\d:\d\d(:[0-5]\d)?|T\d\d:\d\d:[0-5]\d)')
            AND time_text[12:13] <= '23'
            THEN try_cast(time_text AS TIMESTAMP)
        WHEN regexp_full_match(time_text, '\d{1,2}/\d{1,2}/\d{4} \d{1,2}:\d\d')
            THEN try_strptime(time_text, '%m/%d/%Y %H:%M') END AS moment,
    CASE WHEN regexp_full_match(price_text, '[+-]?[0-9]+(\.[0-9]{0,4}0*)?')
        THEN try_cast(price_text AS DECIMAL(18, 4)) END AS price,
    CASE WHEN regexp_full_match(customer_text, '[0-9]{1,10}(\.0*)?')
        THEN split_part(customer_text, '.', 1) END AS customer
FROM texts;

CREATE TABLE judged AS
SELECT *, CASE
    WHEN malformed THEN 'ROW_MALFORMED'
    WHEN invoice IS NULL THEN 'INVOICE_INVALID'
    WHEN stock IS NULL THEN 'STOCK_CODE_INVALID'
    WHEN quantity IS NULL OR quantity = 0 OR (invoice[1] = 'C' AND quantity > 0) THEN 'QUANTITY_INVALID'
    WHEN moment IS NULL OR year(moment) NOT BETWEEN 1990 AND 2100 THEN 'DATE_INVALID'
    WHEN price IS NULL OR abs(price) >= 1000000000 OR (price < 0 AND invoice[1] <> 'A') THEN 'PRICE_INVALID'
    WHEN customer_text IS NOT NULL AND customer IS NULL THEN 'CUSTOMER_INVALID'
    WHEN country IS NULL OR length(country) > 64 THEN 'COUNTRY_INVALID'
    END AS reason
FROM typed;

CREATE TABLE facts AS
SELECT DISTINCT invoice, stock, description, quantity, moment, price, customer, country,
    strftime(moment, '%Y-%m') AS month, quantity * price AS amount
FROM judged WHERE reason IS NULL;
"""


@dataclass(frozen=True)
class FileFigures:
    rows: int
    sound: int
    """Accepted or duplicate."""
    quarantined: dict[str, int]
    """By reason."""


@dataclass(frozen=True)
class Figures:
    files: dict[str, FileFigures]
    """By the SHA-256 of the file."""
    revenue: Decimal
    row_count: int
    invoice_count: int
    revenue_by_month: dict[str, Decimal]


def recompute(files: Sequence[Path]) -> Figures:
    """The figures of these files loaded into an empty lake, each content once."""
    contents = {digest(path): path for path in files}
    with duckdb.connect() as database:
        judge(database, contents)
        counted = {name: FileFigures(0, 0, {}) for name in contents}
        for name, reason, rows in database.execute("SELECT file, reason, count(*) FROM judged GROUP BY ALL").fetchall():
            before = counted[name]
            counted[name] = FileFigures(
                before.rows + rows,
                before.sound + (rows if reason is None else 0),
                before.quarantined | ({reason: rows} if reason is not None else {}),
            )
        totals = "SELECT coalesce(sum(amount), 0), count(*), count(DISTINCT invoice) FROM facts"
        revenue, row_count, invoice_count = database.execute(totals).fetchall()[0]
        by_month = database.execute("SELECT month, sum(amount) FROM facts GROUP BY month ORDER BY month").fetchall()
        return Figures(counted, revenue, row_count, invoice_count, dict(by_month))


def judge(database: duckdb.DuckDBPyConnection, contents: Mapping[str, Path]) -> None:
    """Makes the tables `judged`, a row for each record, and `facts`, of files by name."""
    database.execute(r"CREATE MACRO cut(t) AS nullif(regexp_replace(t, '^\s+|\s+$', '', 'g'), '')")
    database.register("records", pa.concat_tables([_table(name, path) for name, path in contents.items()]))
    database.execute(_RULES)


def digest(path: Path) -> str:
    """The SHA-256 of a file, by which the platform knows it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _table(name: str, path: Path) -> pa.Table:
    found = records(_text(path))
    header = [column.strip().lower() for column in next(found) or []]
    header = [_OTHER_NAMES.get(column, column) for column in header]
    places = [header.index(column.lower()) for column in COLUMNS]
    rows: list[list[str | None]] = []
    malformed = []
    for fields in found:
        sound = fields is not None and len(fields) == len(header)
        malformed.append(not sound)
        rows.append([fields[place] for place in places] if fields is not None and sound else [None] * len(COLUMNS))
    columns = {column: pa.array([row[place] for row in rows], pa.string()) for place, column in enumerate(COLUMNS)}
    return pa.table(
        {
            "file": pa.array([name] * len(rows), pa.string()),
            "row_number": pa.array(range(1, len(rows) + 1), pa.int64()),
            "malformed": pa.array(malformed, pa.bool_()),
            **columns,
        }
    )


def _text(path: Path) -> str:
    content = path.read_bytes()
    content = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def records(text: str) -> Iterator[list[str] | None]:
    """The fields of each record, blank lines aside; None where its quotes do not match."""
    lines = io.StringIO(text, newline="").readlines()
    place = 0
    while place < len(lines):
        line = lines[place]
        place += 1
        if not line.strip("\r\n"):
            continue
        if '"' not in line:
            yield line.rstrip("\r\n").split(",")
            continue
        record = _RECORD.match(_window(lines[place - 1 : place - 1 + _LINES_OF_A_RECORD]))
        if record is None:
            yield None
            continue
        beyond = record.end() - len(line)
        while beyond > 0:
            beyond -= len(lines[place])
            place += 1
        yield [_value(field) for field in _EACH_FIELD.findall(record.group())]


def _window(lines: Sequence[str]) -> str:
    """As far as a record that begins here may go."""
    sizes = itertools.accumulate(map(len, lines), initial=0)
    return "".join(line for line, before in zip(lines, sizes, strict=False) if before <= _CHARACTERS_OF_A_RECORD)


def _value(field: str) -> str:
    return field[1:-1].replace('""', '"') if field.startswith('"') else field
