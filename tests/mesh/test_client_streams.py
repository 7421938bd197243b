"""Streams of requests that the server ends first, and calls that are cancelled between two attempts."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from mesh.client import MeshChannel
from mesh.client.destination import CALLS

ROUNDS = 30
"""Which of two ends comes first is chance."""
REQUEST = b"x" * 20_000
ANSWERS = [b"1", b"2", b"3"]


async def refuses(requests: Any, context: Any) -> None:
    await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not you")


async def answers(requests: Any, context: Any) -> AsyncIterator[bytes]:
    """To the first request, and takes no other."""
    await anext(aiter(requests))
    for answer in ANSWERS:
        yield answer


@contextlib.asynccontextmanager
async def channel(name: str) -> AsyncIterator[MeshChannel]:
    server = grpc.aio.server()
    handlers: dict[str, Any] = {
        "Refuse": grpc.stream_stream_rpc_method_handler(refuses),
        "RefuseAll": grpc.stream_unary_rpc_method_handler(refuses),
        "Answer": grpc.stream_stream_rpc_method_handler(answers),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Streams", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with MeshChannel(grpc.aio.insecure_channel(f"127.0.0.1:{port}"), name) as called:
        yield called
    await server.stop(None)


async def for_ever() -> AsyncIterator[bytes]:
    while True:
        yield REQUEST


async def write_until_it_fails(call: Any) -> Exception:
    while True:
        try:
            await call.write(REQUEST)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as failure:
            return failure


def told(name: str, method: str, code: str) -> float:
    value: float = CALLS.labels(name, f"/test.Streams/{method}", code)._value.get()
    return value


async def test_a_stream_that_the_server_refuses_ends_with_its_word_for_who_reads() -> None:
    async with channel("refusing") as called:
        for _ in range(ROUNDS):
            call = called.stream_stream("/test.Streams/Refuse")(for_ever(), timeout=10)
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await anext(aiter(call))
            assert (failure.value.code(), failure.value.details()) == (grpc.StatusCode.PERMISSION_DENIED, "not you")
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await called.stream_unary("/test.Streams/RefuseAll")(for_ever(), timeout=10)
            assert failure.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_stream_that_the_server_refuses_ends_with_its_word_for_who_writes() -> None:
    async with channel("refusing-writers") as called:
        for _ in range(ROUNDS):
            call = called.stream_stream("/test.Streams/Refuse")(timeout=10)
            failure = await write_until_it_fails(call)
            if isinstance(failure, grpc.aio.AioRpcError):  # else the call had ended before the write began
                assert failure.code() is grpc.StatusCode.PERMISSION_DENIED
            assert await call.code() is grpc.StatusCode.PERMISSION_DENIED
            assert await call.details() == "not you"
        assert told("refusing-writers", "Refuse", "PERMISSION_DENIED") == ROUNDS


@pytest.mark.parametrize("style", ["read", "iterate"])
async def test_answers_that_came_before_a_write_failed_are_all_there(style: str) -> None:
    async with channel("answering") as called:
        call = called.stream_stream("/test.Streams/Answer")(timeout=10)
        failure = await write_until_it_fails(call)
        assert isinstance(failure, asyncio.InvalidStateError)
        if style == "read":
            found = [await call.read() for _ in ANSWERS]
            assert await call.read() is grpc.aio.EOF
        else:
            found = [answer async for answer in call]
        assert found == ANSWERS
        assert await call.code() is grpc.StatusCode.OK
