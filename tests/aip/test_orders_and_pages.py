"""order_by, page tokens and page sizes."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retail.ingest.v1 import ingest_service_pb2 as ingest
from retail.sales.v1 import sales_service_pb2 as sales

from mesh import aip
from mesh.error import Error

ALLOWED = ["create_time", "total"]


def test_order_by_is_read() -> None:
    assert aip.parse_order_by("total desc, create_time", ALLOWED) == [
        aip.Order("total", descending=True),
        aip.Order("create_time"),
    ]
    assert aip.parse_order_by("  ", ALLOWED) == []


@given(st.permutations(ALLOWED), st.lists(st.booleans(), min_size=2, max_size=2))
def test_what_is_printed_is_read_again(fields: list[str], descending: list[bool]) -> None:
    orders = [aip.Order(*pair) for pair in zip(fields, descending, strict=True)]
    assert aip.parse_order_by(", ".join(map(str, orders)), ALLOWED) == orders


@given(st.text() | st.lists(st.sampled_from(["total", "desc", "asc", ",", " "])).map(" ".join))
def test_any_text_is_an_order_or_is_refused(text: str) -> None:
    reason = "ORDER_BY_INVALID"
    try:
        aip.parse_order_by(text, ALLOWED)
    except Error as refused:
        reason = refused.reason
    assert reason == "ORDER_BY_INVALID"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("totl", "did you mean total?"),
        ("total, total desc", "named twice"),
        ("total,,create_time", "missing beside a comma"),
        ("total up", "'total up' is not a field"),
    ],
)
def test_a_bad_order_says_why(text: str, problem: str) -> None:
    with pytest.raises(Error, match=problem):
        aip.parse_order_by(text, ALLOWED)


cursors = st.lists(st.integers(-(2**63), 2**63) | st.text(st.characters(exclude_categories=["Cs"], min_codepoint=1)))


@given(cursors, st.integers(0, 500))
def test_a_token_brings_its_cursor_back_whatever_the_page_size(cursor: list[str | int], size: int) -> None:
    query = sales.ListSalesRequest(filter="total > 1", page_size=10)
    token = aip.page_token(query, cursor)
    following = sales.ListSalesRequest(filter="total > 1", page_size=size, page_token=token)
    assert aip.read_page_token(following) == cursor


def test_readers_make_the_values_what_they_were() -> None:
    noon, sale_id = datetime(2011, 5, 31, 12, tzinfo=UTC), uuid4()
    query = sales.ListSalesRequest()
    query.page_token = aip.page_token(query, [noon.isoformat(), str(sale_id)])
    assert aip.read_page_token(query, datetime.fromisoformat, UUID) == [noon, sale_id]


def test_no_token_is_no_cursor() -> None:
    assert aip.read_page_token(sales.ListSalesRequest(filter="total > 1"), str) is None


def refused(request: sales.ListSalesRequest | ingest.ListJobsRequest, *readers: Callable[[str], object]) -> bool:
    with pytest.raises(Error) as error:
        aip.read_page_token(request, *readers)
    return error.value.reason == "PAGE_TOKEN_INVALID"


def test_a_token_of_another_query_or_method_is_refused() -> None:
    token = aip.page_token(sales.ListSalesRequest(filter="total > 1"), ["a"])
    assert refused(sales.ListSalesRequest(filter="total > 2", page_token=token))
    assert refused(sales.ListSalesRequest(filter="total > 1", order_by="total", page_token=token))
    jobs = ingest.ListJobsRequest(page_token=aip.page_token(sales.ListSalesRequest(), ["a"]))
    assert refused(jobs)


@given(st.text(min_size=1) | st.binary(min_size=1).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_any_text_is_refused(token: str) -> None:
    assert refused(sales.ListSalesRequest(page_token=token))


def forged(packed: bytes) -> sales.ListSalesRequest:
    query = sales.ListSalesRequest()
    honest = base64.urlsafe_b64decode(aip.page_token(query, []) + "==")
    return sales.ListSalesRequest(page_token=base64.urlsafe_b64encode(honest[:12] + packed).decode())


@pytest.mark.parametrize(
    "cursor", [{"a": 1}, [1.5], [None], [True], ["a\0b"], ["a", "b"], ["no time"], [12], [[]], "text"], ids=repr
)
def test_a_forged_cursor_is_refused(cursor: object) -> None:
    assert refused(forged(json.dumps(cursor).encode()), datetime.fromisoformat)


def test_a_deep_or_huge_forged_cursor_is_refused() -> None:
    assert refused(forged(b"[" * 100_000))
    assert refused(forged(b"[" + b"9" * 10_000 + b"]"))


def test_page_size() -> None:
    assert aip.page_size(0, default=50, maximum=500) == 50
    assert aip.page_size(7, default=50, maximum=500) == 7
    assert aip.page_size(501, default=50, maximum=500) == 500
