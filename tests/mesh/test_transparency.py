"""A server of the mesh changes nothing that a bare gRPC server would have sent, whatever its handlers are up to.

Two things differ on purpose, and are shown at the end: an exception's text and a codec's stay inside.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status  # type: ignore[import-untyped]

from mesh.live.settings import Live
from mesh.testing import serving

KINDS = ["unary_unary", "unary_stream", "stream_unary", "stream_stream"]
SERVICE = "test.Odd"
Seen = dict[str, Any]


async def plain(context: Any) -> None:
    pass


async def initial_metadata(context: Any) -> None:
    await context.send_initial_metadata((("first", "1"), ("data-bin", b"\x00\xff"), ("first", "2")))


async def trailing_metadata(context: Any) -> None:
    context.set_trailing_metadata((("last", "1"), ("data-bin", b"\x00\xff"), ("last", "2")))


async def code_without_abort(context: Any) -> None:
    context.set_code(grpc.StatusCode.NOT_FOUND)
    context.set_details("not här")
    context.set_trailing_metadata((("last", "1"),))


async def code_as_a_number(context: Any) -> None:
    context.set_code(5)
    context.set_details("by number")


async def details_without_code(context: Any) -> None:
    context.set_details("fine")


async def abort(context: Any) -> None:
    await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now", (("last", "1"),))


async def abort_without_details(context: Any) -> None:
    await context.abort(grpc.StatusCode.UNAVAILABLE)


async def abort_with_what_was_set(context: Any) -> None:
    context.set_trailing_metadata((("last", "1"),))
    context.set_details("set before")
    await context.abort(grpc.StatusCode.ABORTED)


async def abort_after_initial_metadata(context: Any) -> None:
    await initial_metadata(context)
    await context.abort(grpc.StatusCode.DATA_LOSS, "half way")


async def abort_with_status(context: Any) -> None:
    status = status_pb2.Status(code=code_pb2.OUT_OF_RANGE, message="beyond")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="BEYOND", domain="test"))
    await context.abort_with_status(rpc_status.to_status(status))


async def abort_in_a_finally(context: Any) -> None:
    try:
        raise ValueError("hidden")
    finally:
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "in the end")


async def unimplemented(context: Any) -> None:
    context.set_code(grpc.StatusCode.UNIMPLEMENTED)
    context.set_details("not here")


async def compression(context: Any) -> None:
    context.set_compression(grpc.Compression.Gzip)


async def what_came(context: Any) -> None:
    """Sends back what the call brought."""
    came = [[key, str(value)] for key, value in context.invocation_metadata() if key.startswith("x-")]
    context.set_trailing_metadata((("came", json.dumps(came)), ("timed", str(context.time_remaining() is not None))))


BEHAVIOURS: list[Callable[[Any], Any]] = [
    plain,
    initial_metadata,
    trailing_metadata,
    code_without_abort,
    code_as_a_number,
    details_without_code,
    abort,
    abort_without_details,
    abort_with_what_was_set,
    abort_after_initial_metadata,
    abort_with_status,
    abort_in_a_finally,
    unimplemented,
    compression,
    what_came,
]


BEFORE_ANSWERS = {initial_metadata, abort_after_initial_metadata, compression}
"""They would be an error once an answer is sent."""


class OddServicer:
    """Echoes what it is sent, and then, or before where `early`, does what the behaviour does."""

    def __init__(self, behaviour: Callable[[Any], Any], *, early: bool) -> None:
        self._behaviour = behaviour
        self._early = early

    async def unary_unary(self, request: bytes, context: Any) -> bytes:
        await self._behaviour(context)
        return request

    async def unary_stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        if self._early:
            await self._behaviour(context)
        for _ in range(3):
            yield request
        if not self._early:
            await self._behaviour(context)

    async def stream_unary(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        if self._early:
            await self._behaviour(context)
        joined = b"".join([request async for request in requests])
        if not self._early:
            await self._behaviour(context)
        return joined

    async def stream_stream(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        if self._early:
            await self._behaviour(context)
        async for request in requests:
            yield request
        if not self._early:
            await self._behaviour(context)


class ReadingAndWriting(OddServicer):
    """The same by `context.read` and `context.write`."""

    async def unary_stream(self, request: bytes, context: Any) -> None:  # type: ignore[override]
        for _ in range(3):
            await context.write(request)
        await self._behaviour(context)

    async def stream_unary(self, requests: object, context: Any) -> bytes:
        joined = b""
        while (request := await context.read()) is not grpc.aio.EOF:
            joined += request
        await self._behaviour(context)
        return joined

    async def stream_stream(self, requests: object, context: Any) -> None:  # type: ignore[override]
        while (request := await context.read()) is not grpc.aio.EOF:
            await context.write(request)
        await self._behaviour(context)


def add_OddServicer_to_server(servicer: Any, server: Any) -> None:
    handlers = {kind: getattr(grpc, f"{kind}_rpc_method_handler")(getattr(servicer, kind)) for kind in KINDS}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_registered_method_handlers(SERVICE, handlers)


@contextlib.asynccontextmanager
async def bare(servicer: OddServicer) -> AsyncIterator[str]:
    server = grpc.aio.server()
    add_OddServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@contextlib.asynccontextmanager
async def meshed(servicer: OddServicer) -> AsyncIterator[str]:
    async with serving(servicer, require_contract=False, live=Live()) as server:
        yield server.address


async def seen(address: str, kind: str, sent: Sequence[bytes] = (b"a", b"", b"ccc")) -> Seen:
    """All that a client can see of one call."""
    async with grpc.aio.insecure_channel(address) as channel:

        async def requests() -> AsyncIterator[bytes]:
            for message in sent:
                yield message

        method = getattr(channel, kind)(f"/{SERVICE}/{kind}")
        given = requests() if kind.startswith("stream") else sent[0]
        call = method(given, metadata=(("x-one", "1"), ("x-data-bin", b"\x00"), ("x-one", "2")), timeout=10)
        answers: list[bytes] = []
        with contextlib.suppress(grpc.aio.AioRpcError):
            if kind.endswith("stream"):
                answers.extend([answer async for answer in call])
            else:
                answers.append(await call)
        return {
            "answers": answers,
            "initial": tuple(await call.initial_metadata() or ()),
            "code": await call.code(),
            "details": await call.details(),
            "trailing": tuple(await call.trailing_metadata() or ()),
        }


async def both(servicer: OddServicer, kind: str, sent: Sequence[bytes] = (b"a", b"", b"ccc")) -> tuple[Seen, Seen]:
    async with bare(servicer) as one, meshed(servicer) as other:
        return await seen(one, kind, sent), await seen(other, kind, sent)


def named(behaviour: Callable[[Any], Any]) -> str:
    return behaviour.__name__


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("behaviour", [each for each in BEHAVIOURS if each not in BEFORE_ANSWERS], ids=named)
async def test_a_caller_sees_the_same(behaviour: Callable[[Any], Any], kind: str) -> None:
    expected, got = await both(OddServicer(behaviour, early=False), kind)
    assert got == expected


# Of both ways streaming, grpc.aio's client loses the status of a server that ends the call while it still sends.
@pytest.mark.parametrize("kind", KINDS[:-1])
@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=named)
async def test_a_caller_sees_the_same_of_one_that_acts_first(behaviour: Callable[[Any], Any], kind: str) -> None:
    expected, got = await both(OddServicer(behaviour, early=True), kind, [b"a"])
    assert got == expected


@pytest.mark.parametrize("behaviour", [initial_metadata, compression], ids=named)
async def test_headers_before_the_first_of_both_ways_are_the_same(behaviour: Callable[[Any], Any]) -> None:
    expected, got = await both(OddServicer(behaviour, early=True), "stream_stream")
    assert got == expected


@pytest.mark.parametrize("kind", KINDS)
async def test_reading_and_writing_by_the_context_is_the_same(kind: str) -> None:
    expected, got = await both(ReadingAndWriting(trailing_metadata, early=False), kind)
    assert got == expected


@pytest.mark.parametrize("sent", [[], [b""], [b"x" * 100_000] * 3], ids=["nothing", "empty", "large"])
@pytest.mark.parametrize("kind", ["stream_unary", "stream_stream"])
async def test_streams_of_any_length_are_the_same(kind: str, sent: list[bytes]) -> None:
    expected, got = await both(OddServicer(plain, early=False), kind, sent)
    assert got == expected
    assert b"".join(got["answers"]) == b"".join(sent)


async def test_a_method_or_a_service_that_is_not_there_is_the_same() -> None:
    async with bare(OddServicer(plain, early=False)) as one, meshed(OddServicer(plain, early=False)) as other:
        for path in (f"/{SERVICE}/Nothing", "/no.Such/Thing"):
            got = []
            for address in (one, other):
                async with grpc.aio.insecure_channel(address) as channel:
                    method: Any = channel.unary_unary(path)
                    call = method(b"")
                    got.append((await call.code(), await call.details(), tuple(await call.trailing_metadata())))
            assert got[0] == got[1]
            assert got[0][0] is grpc.StatusCode.UNIMPLEMENTED


async def raises(context: Any) -> None:
    raise ValueError("the secret cause")


async def raises_with_a_code(context: Any) -> None:
    await code_without_abort(context)
    raise ValueError("the secret cause")


async def raises_what_something_else_was_cancelled_with(context: Any) -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize("kind", KINDS)
async def test_what_a_defect_set_stands_and_what_it_raised_is_kept_inside(kind: str) -> None:
    expected, got = await both(OddServicer(raises_with_a_code, early=False), kind)
    assert "secret" in expected.pop("details")
    assert got.pop("details") == "not här"
    assert got == expected

    expected, got = await both(OddServicer(raises, early=False), kind)
    assert "secret" in expected["details"]
    assert (expected["code"], got["code"]) == (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)
    assert "secret" not in str(got)
    assert (got["answers"], got["initial"]) == (expected["answers"], expected["initial"])


async def test_a_handler_that_was_not_cancelled_itself_leaves_nobody_waiting() -> None:
    async with meshed(OddServicer(raises_what_something_else_was_cancelled_with, early=False)) as address:
        got = await seen(address, "unary_unary")
    assert got["code"] is grpc.StatusCode.INTERNAL
