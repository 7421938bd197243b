"""The first row of a file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.errors import ColumnsMissingError, FileNotCsvError
from services.ingest.domain.header import COLUMNS, Header

ALIASES = {"InvoiceNo": "Invoice", "UnitPrice": "Price", "CustomerID": "Customer ID"}
SPELLINGS = st.sampled_from([str.lower, str.upper, str.title, lambda name: f" {name}\t"])


@st.composite
def headers(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """A header as it may come, and what each of its columns is."""
    columns = draw(st.permutations([*COLUMNS, "Shop", "Till"]))
    spelled = [draw(SPELLINGS)(draw(st.sampled_from([name, ALIASES.get(name, name)]))) for name in columns]
    return spelled, columns


@given(headers())
def test_columns_in_any_order_case_and_spelling(given: tuple[list[str], list[str]]) -> None:
    spelled, columns = given
    header = Header.read(spelled)
    assert [columns[place] for place in header.places] == list(COLUMNS)
    assert header.width == len(columns)
    assert sorted((name.lower(), columns[place]) for name, place in header.further) == [
        ("shop", "Shop"),
        ("till", "Till"),
    ]


@given(st.sets(st.sampled_from(list(COLUMNS)), min_size=1))
def test_missing_columns_are_named_in_their_order(missing: set[str]) -> None:
    with pytest.raises(ColumnsMissingError) as caught:
        Header.read([name for name in COLUMNS if name not in missing])
    assert caught.value.facts == {"columns": ",".join(name for name in COLUMNS if name in missing)}


@pytest.mark.parametrize("again", ["Country", " country ", "Price", "Customer ID", "Shop"])
def test_a_column_named_twice(again: str) -> None:
    with pytest.raises(FileNotCsvError):
        Header.read([*COLUMNS, "Shop", again])


def test_columns_without_a_name_go_by_their_place() -> None:
    assert Header.read([*COLUMNS, "", " "]).further == (("column 9", 8), ("column 10", 9))
