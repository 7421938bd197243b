"""What web pages use: gRPC-web, and CORS for it and for REST."""

import base64
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
import pytest
from google.rpc import status_pb2
from retail.ingest.v1 import ingest_service_pb2 as ingest
from retail.sales.v1 import sales_service_pb2 as sales

from mesh.error import described
from tests.gateway.conftest import Edge

PAGE = "http://localhost:3000"
WEB = "application/grpc-web+proto"
TEXT = "application/grpc-web-text+proto"
JOB = "6f1d9f3e-58b1-4f6b-9c38-0d6d3a1f2b11"
_TRAILERS = 0x80


@dataclass(frozen=True)
class Reply:
    """A gRPC-web response: messages, then trailers in the last frame, or none but headers."""

    messages: list[bytes]
    trailers: dict[str, str]


def call(
    rest: httpx.Client, path: str, message: bytes, content_type: str = WEB, more: Mapping[str, str] | None = None
) -> Reply:
    """Calls as a browser's client does: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md"""
    frame = struct.pack(">BI", 0, len(message)) + message
    headers = {"content-type": content_type, "accept": content_type, "x-grpc-web": "1", "origin": PAGE, **(more or {})}
    response = rest.post(path, headers=headers, content=base64.b64encode(frame) if content_type == TEXT else frame)
    assert (response.status_code, response.headers["content-type"]) == (200, content_type)
    assert response.headers["access-control-allow-origin"] == PAGE
    content = _decoded(response.content) if content_type == TEXT else response.content
    messages, trailers = list[bytes](), dict(response.headers)
    while content:
        kind, size = struct.unpack(">BI", content[:5])
        part, content = content[5 : 5 + size], content[5 + size :]
        if kind & _TRAILERS:
            assert not content
            trailers = dict(line.split(":", 1) for line in part.decode().split("\r\n") if line)
        else:
            messages.append(part)
    return Reply(messages, trailers)


def _decoded(text: bytes) -> bytes:
    """The content of base64 pieces, each with its own padding."""
    return b"".join(base64.b64decode(text[start : start + 4]) for start in range(0, len(text), 4))


@pytest.mark.parametrize("content_type", [WEB, TEXT])
def test_a_call_has_its_trailers_in_the_body(edge: Edge, content_type: str) -> None:
    with edge.rest() as rest:
        reply = call(rest, "/retail.sales.v1.SalesService/ListSales", b"", content_type)
    [message] = reply.messages
    sales.ListSalesResponse.FromString(message)
    assert reply.trailers["grpc-status"] == "0"


@pytest.mark.parametrize("content_type", [WEB, TEXT])
def test_a_server_stream_has_many_messages(edge: Edge, content_type: str) -> None:
    request = ingest.WatchJobRequest(job_id=JOB).SerializeToString()
    with edge.rest() as rest:
        reply = call(rest, "/retail.ingest.v1.IngestService/WatchJob", request, content_type)
    changes = [ingest.WatchJobResponse.FromString(message) for message in reply.messages]
    assert [change.job.progress_percent for change in changes] == [0, 50, 100]
    assert reply.trailers["grpc-status"] == "0"


@pytest.mark.parametrize(
    ("token", "path", "status", "reason"),
    [
        ("", "/retail.sales.v1.SalesService/ListSales", "16", "TOKEN_MISSING"),
        ("abc", "/retail.sales.v1.SalesService/ListSales", "16", "TOKEN_INVALID"),
        (None, "/retail.sales.v1.SalesService/GetSale", "3", "INVALID_REQUEST"),
    ],
)
def test_a_refusal_brings_its_details(edge: Edge, token: str | None, path: str, status: str, reason: str) -> None:
    with edge.rest(token=token) as rest:
        reply = call(rest, path, b"")
    assert reply.messages == []
    assert reply.trailers["grpc-status"] == status
    details = base64.b64decode(reply.trailers["grpc-status-details-bin"] + "==")
    assert described(status_pb2.Status.FromString(details)).reason == reason


@pytest.mark.parametrize("content_type", [WEB, TEXT])
def test_what_the_edge_answers_itself_is_gRPC_web_too(edge: Edge, content_type: str) -> None:
    with edge.rest() as rest:
        unknown = call(rest, "/retail.sales.v9.SalesService/GetSale", b"", content_type)
        away = call(rest, "/retail.search.v1.SearchService/SearchProducts", b"", content_type)
    assert unknown.messages == away.messages == []
    assert (unknown.trailers["grpc-status"], unknown.trailers["grpc-message"]) == ("12", "There is no such method")
    assert away.trailers["grpc-status"] == "14"
    details = base64.b64decode(away.trailers["grpc-status-details-bin"] + "==")
    assert described(status_pb2.Status.FromString(details)).reason == "UNREACHABLE"


def test_what_is_no_gRPC_is_told_so_where_only_gRPC_is_taken(edge: Edge) -> None:
    path = "/retail.sales.v1.SalesService/ListSales"
    with edge.rest() as rest:
        for content_type in ("image/jpeg", "application/json"):
            assert rest.post(path, content=b"{}", headers={"content-type": content_type}).status_code == 415
        answer = rest.post(path, content=b"{}", headers={"content-type": "application/grpc+json"})
        assert (answer.status_code, answer.headers["grpc-status"]) == (200, "2")
        assert rest.post("/retail.sales.v1.SalesService/Nothing", json={}).status_code == 404


@pytest.mark.parametrize("content_type", ["application/grpc-web+proto", "application/grpc"])
def test_a_compression_that_nobody_knows_is_refused_with_those_that_are_known(edge: Edge, content_type: str) -> None:
    headers = {"content-type": content_type, "grpc-encoding": "zstd"}
    with edge.rest() as rest:
        answer = rest.post("/retail.sales.v1.SalesService/ListSales", content=bytes(5), headers=headers)
    assert (answer.status_code, answer.headers["grpc-status"]) == (200, "12")
    assert answer.headers["grpc-accept-encoding"] == "identity,deflate,gzip"


@pytest.mark.parametrize("path", ["/v1/sales", "/retail.sales.v1.SalesService/RecordSale"])
def test_a_preflight_allows_what_the_page_needs(edge: Edge, path: str) -> None:
    asked = {
        "origin": PAGE,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-grpc-web",
    }
    with edge.rest(token="") as rest:
        response = rest.options(path, headers=asked)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == PAGE
    assert "POST" in response.headers["access-control-allow-methods"]
    allowed = response.headers["access-control-allow-headers"].split(", ")
    assert {"authorization", "content-type", "x-grpc-web", "grpc-timeout"} <= set(allowed)


def test_a_page_may_read_how_a_call_ended(edge: Edge) -> None:
    with edge.rest() as rest:
        for response in (
            rest.get("/v1/sales", headers={"origin": PAGE}),
            rest.get("/v1/sales/x", headers={"origin": PAGE}),
            rest.get("/v1/nothing", headers={"origin": PAGE}),
        ):
            assert response.headers["access-control-allow-origin"] == PAGE
            exposed = set(response.headers["access-control-expose-headers"].split(", "))
            assert {"grpc-status", "grpc-message", "grpc-status-details-bin", "x-request-id"} == exposed


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost.evil.example", "null"])
def test_a_foreign_page_may_not(edge: Edge, origin: str) -> None:
    asked = {"origin": origin, "access-control-request-method": "POST"}
    with edge.rest() as rest:
        for response in (rest.options("/v1/sales", headers=asked), rest.get("/v1/sales", headers={"origin": origin})):
            assert "access-control-allow-origin" not in response.headers
