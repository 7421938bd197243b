"""Uploads over REST: what the edge makes of a body for a handler that reads a stream, whole or cut off."""

import hashlib
import json
import random
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from retail.ingest.v1 import ingest_service_pb2 as ingest
from retail.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub

from tests.eventually import eventually_sync
from tests.gateway.conftest import Edge

UPLOAD = "/v1/files:upload"
MEBIBYTE = 1024 * 1024
CSV = {"content-type": "text/csv"}


@pytest.fixture(scope="module")
def content() -> bytes:
    return random.Random(3).randbytes(64 * MEBIBYTE)


def seen(edge: Edge, call: Callable[[], Any]) -> dict[str, Any]:
    """What the service logged of the upload that `call` makes."""
    before = len(edge.ingest.said("upload"))
    call()
    [found] = eventually_sync(lambda: edge.ingest.said("upload")[before:], 5)
    return found


def test_a_large_body_arrives_in_pieces(edge: Edge, rest: httpx.Client, content: bytes) -> None:
    answers = list[httpx.Response]()
    url = httpx.URL(UPLOAD, params={"filename": "big file+ü.csv"})
    found = seen(edge, lambda: answers.append(rest.post(url, headers=CSV, content=content)))
    [file] = answers[0].json()["files"]
    assert file["filename"] == "big file+ü.csv"
    assert int(file["sizeBytes"]) == len(content)
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert len(found["sizes"]) >= 64
    assert max(found["sizes"]) <= MEBIBYTE
    # All but the content is in the first message, and only there.
    assert found["heads"][0] == {"filename": "big file+ü.csv", "content": {"contentType": "text/csv"}}
    assert all(head == {"content": {}} for head in found["heads"][1:])
    assert found["metadata"]["x-content-length"] == str(len(content))


def test_a_digest_in_the_query_is_in_the_first_message(edge: Edge, rest: httpx.Client) -> None:
    query = {"filename": "a.csv", "digest.sha256": "ab" * 32, "digest.size_bytes": "8"}
    found = seen(edge, lambda: rest.post(UPLOAD, params=query, headers=CSV, content=b"x" * 8))
    assert found["heads"][0]["digest"] == {"sha256": "ab" * 32, "sizeBytes": "8"}


def test_a_body_of_unknown_length_brings_none_even_if_the_caller_says_one(
    edge: Edge, rest: httpx.Client, content: bytes
) -> None:
    def pieces() -> Iterator[bytes]:
        yield from (content[start : start + MEBIBYTE] for start in range(0, 8 * MEBIBYTE, MEBIBYTE))

    headers = CSV | {"x-content-length": "7"}
    found = seen(edge, lambda: rest.post(UPLOAD, headers=headers, content=pieces()))
    assert sum(found["sizes"]) == 8 * MEBIBYTE
    assert "x-content-length" not in found["metadata"]


def test_an_empty_body_is_one_empty_message(edge: Edge, rest: httpx.Client) -> None:
    found = seen(edge, lambda: rest.post(UPLOAD, params={"filename": "a.csv"}, headers=CSV, content=b""))
    assert found["sizes"] == [0]
    assert found["metadata"]["x-content-length"] == "0"


def test_several_files_arrive_as_the_form_that_holds_them(edge: Edge, rest: httpx.Client) -> None:
    files = [("file", ("a.csv", b"a,b\n", "text/csv")), ("file", ("b.csv", b"c,d\n" * 500_000, "text/csv"))]
    form = rest.build_request("POST", UPLOAD, files=files)
    found = seen(edge, lambda: rest.send(form))
    assert found["heads"][0]["content"]["contentType"] == form.headers["content-type"]
    assert "boundary=" in form.headers["content-type"]
    assert sum(found["sizes"]) == int(form.headers["content-length"])


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded", None])
def test_a_file_is_taken_as_it_is_whatever_it_says_it_is(
    edge: Edge, rest: httpx.Client, content: bytes, content_type: str | None
) -> None:
    headers = {"content-type": content_type} if content_type else {}
    response = rest.post(UPLOAD, headers=headers, content=content[: 10 * MEBIBYTE])
    assert response.json()["files"][0]["sha256"] == hashlib.sha256(content[: 10 * MEBIBYTE]).hexdigest()


def close(connection: socket.socket) -> None:
    connection.close()


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def half_close(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("leave", [close, reset, half_close])
@pytest.mark.parametrize("sent", [0, 100, 3 * MEBIBYTE])
@pytest.mark.parametrize("length", [8 * MEBIBYTE, None], ids=["length", "chunked"])
def test_a_caller_that_is_cut_off_is_cancelled(
    edge: Edge, content: bytes, length: int | None, sent: int, leave: Callable[[socket.socket], None]
) -> None:
    """For a moment it may look like the end, so a handler must not take the end for completeness: it counts."""
    head = [
        f"POST {UPLOAD}?filename=a.csv HTTP/1.1",
        "host: edge",
        f"authorization: Bearer {edge.issuer.token(permissions={'files.write'})}",
        f"content-length: {length}" if length else "transfer-encoding: chunked",
    ]
    body = content[:sent] if length or not sent else b"%x\r\n%b\r\n" % (sent, content[:sent])
    host, _, port = edge.address.rpartition(":")

    def send() -> None:
        with socket.create_connection((host, int(port))) as connection:
            before = _received(edge)
            connection.sendall("\r\n".join([*head, "", ""]).encode() + body)
            eventually_sync(lambda: _received(edge) >= before + sent + 1, 5)
            leave(connection)

    found = seen(edge, send)
    assert found["cancelled"]
    assert sum(found["sizes"]) <= sent
    assert found["metadata"].get("x-content-length") == (str(length) if length else None)


def _received(edge: Edge) -> int:
    """Bytes that Envoy has read from callers."""
    url = f"http://127.0.0.1:{edge.stack.port('envoy-admin')}/stats?filter=http.edge.downstream_cx_rx_bytes_total"
    return int(httpx.get(url).text.split(":")[1])


async def test_a_typed_client_that_is_cut_off_is_cancelled(edge: Edge) -> None:
    begun, ended = len(edge.ingest.said("upload begun")), len(edge.ingest.said("upload"))
    async with edge.channel() as channel:
        call = IngestServiceStub(channel).UploadFiles()
        await call.write(ingest.UploadFilesRequest(filename="a.csv"))
        eventually_sync(lambda: len(edge.ingest.said("upload begun")) > begun, 5)
        call.cancel()
    [found] = eventually_sync(lambda: edge.ingest.said("upload")[ended:], 5)
    assert found["cancelled"]


def test_an_upload_without_a_token_is_refused_before_all_of_it_has_come(edge: Edge, content: bytes) -> None:
    with edge.rest(token="") as rest:
        response = rest.post(UPLOAD, headers=CSV, content=content)
    assert response.status_code == 401
    assert json.loads(response.content)["details"][0]["reason"] == "TOKEN_MISSING"
