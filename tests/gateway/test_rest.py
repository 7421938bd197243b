"""REST at the edge: the same calls as JSON, and every way to be refused as a `google.rpc.Status`."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.gateway.conftest import Edge, refusal

SALE_ID = "6f1d9f3e-58b1-4f6b-9c38-0d6d3a1f2b11"


def sale(**line: Any) -> dict[str, Any]:
    """The body of RecordSale: one line, two pieces at 2.50."""
    price = {"currency_code": "GBP", "units": "2", "nanos": 500_000_000}
    lines = [{"stock_code": "85123A", "description": "LANTERN", "quantity": 2, "unit_price": price, **line}]
    return {"sale": {"country": "France", "lines": lines}, "request_id": str(uuid.uuid4())}


def violations(response: httpx.Response) -> dict[str, str]:
    """The wrong fields that a BadRequest names, with what is wrong."""
    [found] = [detail for detail in response.json()["details"] if detail["@type"].endswith("google.rpc.BadRequest")]
    return {violation["field"]: violation["description"] for violation in found["fieldViolations"]}


def test_a_body_a_path_and_a_query_become_a_request(rest: httpx.Client) -> None:
    recorded = rest.post("/v1/sales", json=sale())
    assert recorded.status_code == 200
    kept = recorded.json()["sale"]
    assert kept["total"] == {"currencyCode": "GBP", "units": "5", "nanos": 0}

    read = rest.get(f"/v1/sales/{kept['saleId']}")
    assert read.json()["sale"] == kept

    rest.post("/v1/sales", json=sale())
    query: dict[str, str | int] = {"page_size": 1, "filter": 'country = "France"', "order_by": "create_time"}
    first = rest.get("/v1/sales", params=query).json()
    second = rest.get("/v1/sales", params=query | {"page_token": first["nextPageToken"]}).json()
    assert len(first["sales"]) == len(second["sales"]) == 1
    assert first["sales"] != second["sales"]


def test_names_of_fields_may_be_written_in_both_ways(rest: httpx.Client) -> None:
    body = sale()
    both = {"sale": body["sale"], "requestId": body["request_id"]}
    first, again = rest.post("/v1/sales", json=body), rest.post("/v1/sales", json=both)
    assert first.json() == again.json()
    assert rest.get("/v1/sales", params={"pageSize": 1}).status_code == 200


def test_a_server_stream_is_one_json_object_a_line_as_it_flows(edge: Edge, rest: httpx.Client) -> None:
    ended = len(edge.ingest.said("watch ended"))
    endless = SALE_ID[:-1] + "0"
    with rest.stream("GET", f"/v1/jobs/{endless}:watch") as response:
        assert response.status_code == 200
        lines = response.iter_lines()
        seen = [json.loads(next(lines))["job"]["progressPercent"] for _ in range(3)]
        assert seen == [0, 50, 100]
        assert len(edge.ingest.said("watch ended")) == ended
    with rest.stream("GET", f"/v1/jobs/{SALE_ID}:watch") as response:
        assert len(list(response.iter_lines())) == 3


def test_each_response_has_an_id(rest: httpx.Client) -> None:
    ids = {response.headers["x-request-id"] for response in (rest.get("/v1/sales"), rest.get("/v1/nothing"))}
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda rest: rest.get("/v1/nothing"), (404, 5, "NO_SUCH_METHOD")),
        (lambda rest: rest.get("/"), (404, 5, "NO_SUCH_METHOD")),
        (lambda rest: rest.get("/retail.sales.v1.SalesService/ListSales"), (404, 5, "NO_SUCH_METHOD")),
        (lambda rest: rest.delete("/v1/sales"), (404, 5, "NO_SUCH_METHOD")),
        (lambda rest: rest.put("/v1/sales", json={}), (404, 5, "NO_SUCH_METHOD")),
        (lambda rest: rest.get("/v1/sales?colour=red"), (400, 3, "")),
        (lambda rest: rest.get("/v1/sales?page_size=many"), (400, 3, "")),
        (lambda rest: rest.get("/v1/sales?page_token=forged"), (400, 3, "PAGE_TOKEN_INVALID")),
        (lambda rest: rest.get("/v1/sales?filter=%3D%3D"), (400, 3, "FILTER_INVALID")),
        (lambda rest: rest.get("/v1/sales/not-a-uuid"), (400, 3, "INVALID_REQUEST")),
        (lambda rest: rest.get(f"/v1/sales/{SALE_ID}"), (404, 5, "SALE_NOT_FOUND")),
        (lambda rest: rest.get("/v1/sales", headers={"grpc-timeout": "bogus"}), (400, 3, "")),
        (lambda rest: rest.get("/v1/sales", headers={"under_score": "x"}), (400, 3, "")),
        (lambda rest: rest.post("/v1/jobs", json={}), (403, 7, "PERMISSION_MISSING")),
        (lambda rest: rest.get("/v1/jobs"), (501, 12, "")),
        (lambda rest: rest.get("/v1/products:search?query=lantern"), (503, 14, "UNREACHABLE")),
    ],
)
def test_a_refusal_has_its_status_its_code_and_its_reason(
    rest: httpx.Client, call: Callable[[httpx.Client], httpx.Response], expected: tuple[int, int, str]
) -> None:
    assert refusal(call(rest)) == expected


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "text/plain", None])
@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'{"sale": ', "Expecting value"),
        (b"", ""),
        (b"[]", "not a JSON object"),
        (b'{"sale": ' * 100_000, "recursion depth"),
        (b"a=b", "Expecting value"),
        (b'{"request_id": "\xff"}', "utf-8"),
        (b'{"request_id": 7}', "request_id"),
        (b'{"colour": "red"}', "unknown field colour"),
        (b'{"sale": {"lines": [{"quantity": 1}, {"colour": "red"}]}}', "unknown field sale.lines[1].colour"),
    ],
)
def test_a_bad_body_is_refused_with_what_is_wrong(
    rest: httpx.Client, body: bytes, problem: str, content_type: str | None
) -> None:
    headers = {"content-type": content_type} if content_type else {}
    response = rest.post("/v1/sales", content=body, headers=headers)
    assert refusal(response) == (400, 3, "BODY_INVALID" if body else "INVALID_REQUEST")
    assert problem in response.json()["message"]
    if "unknown field" in problem:
        assert violations(response) == {problem.removeprefix("unknown field "): "there is no such field"}


def test_what_breaks_a_rule_of_the_contract_is_named(rest: httpx.Client) -> None:
    response = rest.post("/v1/sales", json=sale(quantity=0) | {"request_id": "x"})
    assert refusal(response) == (400, 3, "INVALID_REQUEST")
    assert set(violations(response)) == {"sale.lines[0].quantity", "request_id"}


def test_a_body_that_is_too_large_is_refused(rest: httpx.Client) -> None:
    response = rest.post("/v1/sales", content=b'{"request_id": "' + b"x" * 9_000_000 + b'"}')
    assert refusal(response) == (413, 3, "TOO_LARGE")
