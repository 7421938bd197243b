"""The made-up shop: always the same, and with every oddity that the dialect has."""

import gzip
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import pytest
from retail.ingest.v1.ingest_service_pb2 import QuarantineReason

from demo import dataset
from demo.recompute import digest, judge, recompute

ROWS = 24_000


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return dataset.write(tmp_path_factory.mktemp("shop"), ROWS)


@pytest.fixture(scope="module")
def judged(shop: list[Path]) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as database:
        judge(database, {digest(path): path for path in shop})
        yield database


def unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def checksum(paths: Sequence[Path]) -> str:
    return hashlib.sha256(b"".join(path.name.encode() + unpacked(path) for path in paths)).hexdigest()


def test_one_seed_one_result(tmp_path: Path) -> None:
    first = dataset.write(tmp_path / "a", 1000, 1)
    # A change to the shop changes this; a machine, a version of Python or a second run must not.
    assert checksum(first) == "4cd1104378f24a0aed5eb191b9e79e08789e290e0dc12152b9d505f399e9ccf4"
    second = dataset.write(tmp_path / "b", 1000, 1)
    assert [digest(path) for path in second] == [digest(path) for path in first]
    assert checksum(dataset.write(tmp_path / "c", 1000, 2)) != checksum(first)


def test_it_has_as_many_rows_as_asked_and_one_of_each_reason(shop: list[Path]) -> None:
    figures = recompute(shop)
    assert sum(file.rows for file in figures.files.values()) == ROWS
    reasons = {reason for file in figures.files.values() for reason in file.quarantined}
    known = {name.removeprefix("QUARANTINE_REASON_") for name in QuarantineReason.keys()}  # noqa: SIM118
    assert reasons == known - {"UNSPECIFIED"}


@pytest.mark.parametrize("rows", [1, 5, 6, 501])
def test_few_rows_are_as_many_as_asked(tmp_path: Path, rows: int) -> None:
    assert sum(file.rows for file in recompute(dataset.write(tmp_path, rows)).files.values()) == rows


@pytest.mark.parametrize(
    "oddity",
    [
        pytest.param("invoice LIKE 'C%' AND quantity < 0", id="cancellation"),
        pytest.param("invoice LIKE 'A%' AND price < 0", id="adjustment"),
        pytest.param("invoice NOT LIKE 'C%' AND quantity < 0 AND price = 0", id="stock written off"),
        pytest.param("description = 'damaged?'", id="note"),
        pytest.param("description IS NULL", id="no description"),
        pytest.param("price = 0 AND quantity > 0", id="zero price"),
        pytest.param("customer IS NULL", id="no customer"),
        pytest.param("customer_text LIKE '%.0'", id="customer with decimals"),
        pytest.param("stock IN ('POST', 'BANK CHARGES')", id="no product"),
        pytest.param("time_text LIKE '%/%'", id="date as the original has it"),
        pytest.param("time_text LIKE '%-%'", id="date as ISO has it"),
        pytest.param("description LIKE '%, \"%'", id="comma and quotes"),
        pytest.param("country = 'Unspecified'", id="country"),
    ],
)
def test_it_has_an_oddity(judged: duckdb.DuckDBPyConnection, oddity: str) -> None:
    found = judged.execute(f"SELECT count(*) FROM judged WHERE reason IS NULL AND {oddity}").fetchall()
    assert found[0][0] > 0


@pytest.mark.parametrize(
    "oddity",
    [
        pytest.param(r"StockCode LIKE '%b'", id="lower case"),
        pytest.param(r"Description LIKE '%' || chr(10) || '%'", id="line break"),
        pytest.param(r"Description LIKE ' %'", id="blanks"),
        pytest.param(r"Description LIKE '%CAFÉ%'", id="accent"),
    ],
)
def test_it_has_an_oddity_that_cleaning_takes_away(judged: duckdb.DuckDBPyConnection, oddity: str) -> None:
    found = judged.execute(f"SELECT count(*) FROM records WHERE {oddity}").fetchall()
    assert found[0][0] > 0


def test_it_has_exact_duplicates(judged: duckdb.DuckDBPyConnection) -> None:
    sound, different = judged.execute(
        "SELECT (SELECT count(*) FROM judged WHERE reason IS NULL), (SELECT count(*) FROM facts)"
    ).fetchall()[0]
    assert 0 < different < sound


def test_its_files_differ(shop: list[Path]) -> None:
    contents = [unpacked(path) for path in shop]
    assert {path.suffix for path in shop} == {".csv", ".gz"}
    assert {content.startswith(b"\xef\xbb\xbf") for content in contents} == {True, False}
    assert {b"\r\n" in content for content in contents} == {True, False}
    assert {b"Customer ID" in content for content in contents} == {True, False}
    assert [is_utf8(content) for content in contents].count(False) == 1


def is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
