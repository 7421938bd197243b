"""What the foreign suites showed (docs/conformance.md), and what their servicers might be written like."""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2, status_pb2
from grpc_status import rpc_status  # type: ignore[import-untyped]

from mesh.server import Server
from mesh.testing import serving
from tests.mesh.test_transparency import (
    KINDS,
    SERVICE,
    OddServicer,
    add_OddServicer_to_server,
    both,
    meshed,
    plain,
    seen,
)


class Blocking(OddServicer):
    """As for a threaded server. It says early what it has to say ahead of its answers, and the rest late."""

    def __init__(self, end: str = "") -> None:
        self._end = end

    def unary_unary(self, request: bytes, context: Any) -> bytes:  # type: ignore[override]
        self._begin(context)
        self._finish(context)
        return request

    def unary_stream(self, request: bytes, context: Any) -> Iterator[bytes]:  # type: ignore[override]
        self._begin(context)
        yield from (request, request)
        self._finish(context)

    def stream_unary(self, requests: Iterator[bytes], context: Any) -> bytes:  # type: ignore[override]
        self._begin(context)
        joined = b"".join(requests)
        self._finish(context)
        return joined

    def stream_stream(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:  # type: ignore[override]
        self._begin(context)
        yield from requests
        self._finish(context)

    def _begin(self, context: Any) -> None:
        context.set_trailing_metadata((("last", "1"), ("data-bin", b"\x00\xff")))
        context.send_initial_metadata((("first", dict(context.invocation_metadata())["x-one"]),))

    def _finish(self, context: Any) -> None:
        match self._end:
            case "code":
                context.set_code(grpc.StatusCode.NOT_FOUND)
                context.set_details("not här")
            case "abort":
                context.abort(grpc.StatusCode.ABORTED, "not now", (("last", "2"),))
            case "status":
                context.abort_with_status(rpc_status.to_status(status_pb2.Status(code=code_pb2.DATA_LOSS)))
            case "unimplemented":
                context.set_code(grpc.StatusCode.UNIMPLEMENTED)
                raise NotImplementedError


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", ["", "code", "abort"])
async def test_handlers_that_block_are_served_the_same(end: str, kind: str) -> None:
    expected, got = await both(Blocking(end), kind)
    assert got == expected


@pytest.mark.parametrize("kind", KINDS)
async def test_a_handler_that_blocks_may_be_unimplemented(kind: str) -> None:
    expected, got = await both(Blocking("unimplemented"), kind)
    assert got["code"] is expected["code"] is grpc.StatusCode.UNIMPLEMENTED


async def test_a_handler_that_blocks_may_abort_with_a_status_which_bare_grpc_has_not() -> None:
    async with meshed(Blocking("status")) as address:
        got = await seen(address, "unary_unary")
    assert got["code"] is grpc.StatusCode.DATA_LOSS
    assert [name for name, _ in got["trailing"]] == ["grpc-status-details-bin"]


class Large(OddServicer):
    """Answers with ten times what came."""

    async def unary_unary(self, request: bytes, context: Any) -> bytes:
        return request * 10


async def test_an_answer_may_be_larger_than_what_a_server_takes() -> None:
    async with serving(Large(plain, early=False), require_contract=False, message_bytes=1000) as server:
        got = await seen(server.address, "unary_unary", [b"a" * 1000])
        assert got["answers"] == [b"a" * 10_000]
        refused = await seen(server.address, "unary_unary", [b"a" * 1001])
        assert refused["code"] is grpc.StatusCode.RESOURCE_EXHAUSTED


class Older(OddServicer):
    """Its generated code is older than gRPC 1.64."""


def add_Older_to_server(servicer: Older, server: Any) -> None:
    class Before:
        def add_registered_method_handlers(self, *_: object) -> None:
            pass

        add_generic_rpc_handlers = server.add_generic_rpc_handlers

    add_OddServicer_to_server(servicer, Before())


async def test_generated_code_of_any_age_and_plain_handlers_are_served() -> None:
    handlers: dict[str, Any] = {
        "unary_unary": grpc.unary_unary_rpc_method_handler(Large(plain, early=False).unary_unary)
    }
    raw = grpc.method_handlers_generic_handler(SERVICE, handlers)
    for servicer, answer in ((Older(plain, early=False), b"a"), (raw, b"a" * 10)):
        async with contextlib.AsyncExitStack() as stack:
            server = Server(servicer, require_contract=False)
            port = await server.start("127.0.0.1")
            stack.push_async_callback(server.stop)
            assert server.services == [SERVICE]
            assert (await seen(f"127.0.0.1:{port}", "unary_unary"))["answers"] == [answer]


_GENERATED = """
import grpc

class LonelyServicer:
    async def Do(self, request, context):
        return request

def add_LonelyServicer_to_server(servicer, server):
    handlers = {"Do": grpc.unary_unary_rpc_method_handler(servicer.Do)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Lonely", handlers),))
"""
"""As protoc has it for a service whose messages are in another file: it imports the messages, not the service's own."""


async def test_the_contract_of_a_service_is_known_whichever_file_has_its_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lonely_pb2_grpc.py").write_text(_GENERATED)
    (tmp_path / "lonely_pb2.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    servicer = importlib.import_module("lonely_pb2_grpc").LonelyServicer
    Server(servicer(), require_contract=False)
    assert "lonely_pb2" in sys.modules
