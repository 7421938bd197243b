"""Records: what was written comes back, and what is malformed takes nothing with it."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.errors import RowTooLongError
from services.ingest.domain.records import LINE_LIMIT, Record, records

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
ROWS = st.lists(st.lists(TEXT, min_size=2, max_size=4), max_size=8)


def cut(text: str) -> list[Record]:
    return list(records(io.StringIO(text, newline="")))


def written(rows: list[list[str]], line_end: str = "\n") -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=line_end, quoting=csv.QUOTE_ALL).writerows(rows)
    return text.getvalue()


@given(ROWS, st.sampled_from(["\n", "\r\n"]))
def test_what_was_written_comes_back(rows: list[list[str]], line_end: str) -> None:
    assert [record.fields for record in cut(written(rows, line_end))] == rows


@given(st.one_of(st.text(st.sampled_from('ab,"\r\n '), max_size=60), st.text(max_size=20)))
def test_of_any_text_nothing_is_lost_but_blank_lines(text: str) -> None:
    for record in cut(text):
        blank, _, text = text.partition(record.raw)
        assert not blank.strip("\r\n")
    assert not text.strip("\r\n")


@given(ROWS, ROWS)
def test_a_quote_that_never_closes_takes_one_line_only(before: list[list[str]], after: list[list[str]]) -> None:
    # A quote in what follows could close it: that is then a different text, and rightly so.
    plain = [[field.replace('"', "").replace("\r", "").replace("\n", "") or "x" for field in row] for row in after]
    text = written(before) + '1,"open\n' + "".join(",".join(f.replace(",", "") for f in row) + "\n" for row in plain)
    found = cut(text)
    assert [record.fields for record in found[: len(before)]] == before
    assert found[len(before)] == Record('1,"open\n', None)
    assert len(found) == len(before) + 1 + len(after)


@pytest.mark.parametrize("line", ['1,"a"b\n', '1,"a""\n', '"a" ,2\n'])
def test_quotes_that_do_not_match(line: str) -> None:
    assert cut(line + "3,4\n") == [Record(line, None), Record("3,4\n", ["3", "4"])]


def test_blank_lines_are_no_rows() -> None:
    assert [record.fields for record in cut("\n1,2\r\n\r\n\n3,4")] == [["1", "2"], ["3", "4"]]


def test_a_quoted_field_of_more_than_a_hundred_lines_was_never_closed() -> None:
    text = '1,"' + "a\n" * 150 + 'b"\n'
    assert [record.fields for record in cut(text)][:2] == [None, ["a"]]


def test_a_field_may_be_as_long_as_a_line() -> None:
    field = "x" * (LINE_LIMIT - 5)
    assert [record.fields for record in cut(f'1,"{field}"\n3,4\n')] == [["1", field], ["3", "4"]]


def test_a_record_of_many_long_lines_was_never_closed() -> None:
    long = "x" * (LINE_LIMIT - 1) + "\n"
    found = cut('1,"a\n' + long * 3 + 'b"\n')
    assert found[0] == Record('1,"a\n', None)
    assert [record.raw for record in found[1:]] == [long, long, long, 'b"\n']


def test_a_line_that_no_row_could_be() -> None:
    with pytest.raises(RowTooLongError) as caught:
        cut("a,b\n1,2\n" + "x" * (LINE_LIMIT + 1))
    assert caught.value.facts == {"row": 2, "limit_bytes": LINE_LIMIT}
