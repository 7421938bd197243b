"""Filters: what they mean, that they print as they are read, and that nothing but FILTER_INVALID comes of bad ones."""

import operator
import string
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh import aip
from mesh.error import Error, described

FIELDS = {
    "country": aip.TEXT,
    "month": aip.ORDERED_TEXT,
    "total": aip.DECIMAL,
    "quantity": aip.INTEGER,
    "paid": aip.BOOLEAN,
    "day": aip.DATE,
    "create_time": aip.TIMESTAMP,
    "state": aip.enumeration(["OPEN", "CLOSED"]),
}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "country": st.text(st.characters(exclude_categories=["Cc", "Cs"])),
    "month": st.dates().map(lambda day: day.strftime("%Y-%m")),
    "total": st.decimals(-(10**17), 10**17, places=4),
    "quantity": st.integers(-(2**63), 2**63 - 1),
    "paid": st.booleans(),
    "day": st.dates(),
    "create_time": st.datetimes(timezones=st.just(UTC)),
    "state": st.sampled_from(["OPEN", "CLOSED"]),
}
COMPARE: dict[aip.Operator, Any] = {
    aip.Operator.EQUAL: operator.eq,
    aip.Operator.NOT_EQUAL: operator.ne,
    aip.Operator.LESS: operator.lt,
    aip.Operator.LESS_OR_EQUAL: operator.le,
    aip.Operator.GREATER: operator.gt,
    aip.Operator.GREATER_OR_EQUAL: operator.ge,
}


@st.composite
def comparisons(draw: st.DrawFn) -> aip.Comparison:
    field = draw(st.sampled_from(sorted(FIELDS)))
    chosen = draw(st.sampled_from(sorted(FIELDS[field].operators)))
    return aip.Comparison(field, chosen, draw(VALUES[field]))


def parts(of: st.SearchStrategy[aip.Filter]) -> st.SearchStrategy[tuple[aip.Filter, ...]]:
    return st.lists(of, min_size=2, max_size=4).map(tuple)


filters: st.SearchStrategy[aip.Filter] = st.recursive(
    comparisons(), lambda of: parts(of).map(aip.And) | parts(of).map(aip.Or) | of.map(aip.Not), max_leaves=12
)
rows = st.fixed_dictionaries(VALUES)


def matches(wanted: aip.Filter, row: dict[str, Any]) -> bool:
    match wanted:
        case aip.Comparison(field, chosen, value):
            return bool(COMPARE[chosen](row[field], value))
        case aip.And(of):
            return all(matches(part, row) for part in of)
        case aip.Or(of):
            return any(matches(part, row) for part in of)
        case aip.Not(part):
            return not matches(part, row)


def refusal(text: str) -> dict[str, str]:
    with pytest.raises(Error) as refused:
        aip.parse_filter(text, FIELDS)
    assert refused.value.reason == "FILTER_INVALID"
    assert described(refused.value.status).fields[0][0] == "filter"
    return refused.value.metadata


@given(filters)
def test_what_is_printed_is_read_again(wanted: aip.Filter) -> None:
    assert aip.parse_filter(str(wanted), FIELDS) == wanted


@given(filters, rows)
def test_not_is_the_opposite(wanted: aip.Filter, row: dict[str, Any]) -> None:
    opposite = aip.parse_filter(f"-({wanted})", FIELDS)
    assert opposite is not None
    assert matches(opposite, row) != matches(wanted, row)


_FRAGMENTS = [
    *FIELDS,
    "AND",
    "OR",
    "NOT",
    "-",
    "(",
    ")",
    "=",
    "!=",
    "<=",
    ":",
    '"',
    "'",
    "\\",
    "1",
    "2.5",
    "true",
    "\t",
]


@given(st.text() | st.lists(st.sampled_from(_FRAGMENTS) | st.text(string.printable, max_size=3)).map(" ".join))
def test_any_text_is_a_filter_or_is_refused_with_its_place(text: str) -> None:
    refused = None
    try:
        wanted = aip.parse_filter(text, FIELDS)
        assert wanted is None or aip.parse_filter(str(wanted), FIELDS) == wanted
    except Error as error:
        refused = error
    if refused is not None:
        assert refused.reason == "FILTER_INVALID"
        assert 1 <= int(refused.metadata["column"]) <= len(text) + 1
        assert refused.metadata["problem"]


def test_nothing_is_no_filter() -> None:
    assert aip.parse_filter("", FIELDS) is None
    assert aip.parse_filter(" \n\t", FIELDS) is None


def test_or_binds_more_tightly_than_and_as_aip_160_has_it() -> None:
    france, uk, dear = (
        aip.Comparison("country", aip.Operator.EQUAL, "France"),
        aip.Comparison("country", aip.Operator.EQUAL, "United Kingdom"),
        aip.Comparison("total", aip.Operator.GREATER, Decimal(100)),
    )
    expected = aip.And((dear, aip.Or((france, uk))))
    assert aip.parse_filter("total > 100 AND country = France OR country = 'United Kingdom'", FIELDS) == expected
    assert aip.parse_filter("total > 100 country = France OR country = 'United Kingdom'", FIELDS) == expected


def test_minus_negates_a_term_and_signs_a_number() -> None:
    assert aip.parse_filter("-total > -5", FIELDS) == aip.Not(
        aip.Comparison("total", aip.Operator.GREATER, Decimal(-5))
    )


def test_a_time_is_read_with_and_without_quotes_and_moved_to_utc() -> None:
    noon = aip.Comparison("create_time", aip.Operator.LESS, datetime(2011, 5, 31, 12, tzinfo=UTC))
    assert aip.parse_filter("create_time < 2011-05-31T14:00:00+02:00", FIELDS) == noon
    assert aip.parse_filter('create_time < "2011-05-31T12:00:00Z"', FIELDS) == noon


@pytest.mark.parametrize(
    ("text", "column", "problem"),
    [
        ("total >", 8, "it ends where a value is expected"),
        ("total > abc", 9, "total must be a number"),
        ("total > 1e9999999", 9, "total must be a number"),
        ("total > 1000000000000000000", 9, "total must be a number"),
        ("quantity = 9223372036854775808", 12, "quantity must be a whole number"),
        ("create_time < 2011-05-31T12:00:00", 15, "create_time must be a time"),
        ("create_time < 0001-01-01T00:00:00+14:00", 15, "create_time must be a time"),
        ("day = 2011-02-29", 7, "day must be a date"),
        ("paid = yes", 8, "paid must be true or false"),
        ("state = LOST", 9, "state must be one of OPEN, CLOSED"),
        ("state < OPEN", 7, "state can only be compared by"),
        ("countri = France", 1, "did you mean country?"),
        ("colour = red", 1, "there are country,"),
        ('country = "France', 11, "a quoted text that is not closed"),
        ("country : France", 9, "':' is not supported"),
        ("total > 1 and total < 2", 14, "write AND in capital letters"),
        ("(total > 1", 11, "it ends where ')' is expected"),
        ("total > 1)", 10, "a ')' that is not expected here"),
        ("total > 1\nAND", 14, "it ends where a field is expected"),
        ("country", 8, "it ends where an operator"),
        ("country = 'a\x00b'", 13, "a control character"),
        ("NOT (" * 200 + "total > 1" + ")" * 200, 166, "nested more than 32 levels deep"),
    ],
)
def test_a_refusal_says_where_and_what(text: str, column: int, problem: str) -> None:
    refused = refusal(text)
    assert problem in refused["problem"]
    if "nested" not in problem:
        assert int(refused["column"]) == column


def test_parentheses_alone_are_no_depth() -> None:
    assert aip.parse_filter("(" * 1000 + "paid = true" + ")" * 1000, FIELDS) == aip.Comparison(
        "paid", aip.Operator.EQUAL, True
    )
