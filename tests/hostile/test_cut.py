"""Calls that never begin, or break off: half a stream is not taken for a whole one, and no drain waits for them."""

import asyncio
import signal
import time
from pathlib import Path

import grpc
import pytest

from tests.eventually import eventually, eventually_sync
from tests.hostile.conftest import target_of
from tests.hostile.peer import Peer, framed, peer
from tests.hostile.target import GET_SALE, PIECE, REQUEST, UPLOAD_FILES, WELL, Target
from tests.programs import Program, program


def close(_: Peer, __: int) -> None:
    """What is sent is all that is sent: the connection goes with the block."""


def reset(hostile: Peer, stream: int) -> None:
    hostile.reset(stream)


def reset_without_error(hostile: Peer, stream: int) -> None:
    hostile.reset(stream, 0)


@pytest.mark.parametrize("cut", [close, reset, reset_without_error])
@pytest.mark.parametrize("rest", [b"", framed(PIECE)[:3], framed(PIECE)[:-2]], ids=["between", "prefix", "message"])
async def test_a_stream_that_is_cut_off_is_not_complete(
    target: Target, server: Program, cut: object, rest: bytes
) -> None:
    def heard(message: str) -> int:
        return len(server.said(message))

    complete, cut_off = heard("complete"), heard("cut off")
    for _ in range(5):
        async with peer(target.address) as hostile:
            stream = hostile.open(UPLOAD_FILES, target.headers, framed(PIECE) + framed(PIECE), end=False)
            await hostile.sent()
            if rest:
                hostile.send(stream, rest)
            await asyncio.sleep(0)
            await target.serves()  # so what was sent has arrived
            assert callable(cut)
            cut(hostile, stream)
            await hostile.sent()

    async def all_were_seen() -> bool:
        return heard("cut off") == cut_off + 5

    await eventually(all_were_seen)
    assert heard("complete") == complete


async def test_a_stream_that_ends_by_itself_is_complete(target: Target, server: Program) -> None:
    complete = len(server.said("complete"))
    async with peer(target.address) as good:
        answer = await good.answer(good.open(UPLOAD_FILES, target.headers, framed(PIECE) * 3))
    assert answer.status is grpc.StatusCode.OK
    eventually_sync(lambda: len(server.said("complete")) == complete + 1)
    assert server.said("complete")[-1]["received"] == 3


async def test_half_a_message_at_the_end_is_dropped_by_grpc_itself(target: Target, server: Program) -> None:
    """What no server made with grpc.aio can tell from a clean end, and a contract must provide for: the day that this
    fails, Incoming can refuse it."""
    async with peer(target.address) as hostile:
        answer = await hostile.answer(hostile.open(UPLOAD_FILES, target.headers, framed(PIECE) + framed(PIECE)[:-2]))
    assert answer.status is grpc.StatusCode.OK
    eventually_sync(lambda: server.said("complete"))
    assert server.said("complete")[-1]["received"] == 1


async def test_a_request_that_is_not_there_or_not_whole_is_unimplemented(target: Target) -> None:
    async with peer(target.address) as hostile:
        for body in (b"", framed(REQUEST)[:3], framed(REQUEST)[:-1]):
            answer = await hostile.answer(hostile.open(GET_SALE, target.headers, body))
            assert answer.status is grpc.StatusCode.UNIMPLEMENTED
            assert (await hostile.call(GET_SALE, target.headers, REQUEST)).status in WELL


async def test_where_too_many_send_no_message_the_oldest_gives_way(target: Target) -> None:
    async with peer(target.address) as one, peer(target.address) as two:
        streams = [hostile.open(GET_SALE, target.headers) for hostile in (one, two) for _ in range(600)]
        await one.sent()
        await two.sent()
        answer = await one.answer(streams[0], 8)
        assert (answer.status, answer.details.metadata) == (grpc.StatusCode.RESOURCE_EXHAUSTED, {"limit": "waiting"})
        assert answer.details.retry_after
        assert not two.answer_so_far(streams[-1]).ended.is_set()
        await target.serves()


async def test_a_drain_waits_for_no_call_that_sends_no_message(tmp_path: Path) -> None:
    with program("tests.hostile.server", environment={}, output=tmp_path / "log") as server:
        eventually_sync(lambda: server.said("serving"), 20)
        target = target_of(server)
        async with peer(target.address) as one, peer(target.address) as two:
            streams = {
                hostile: [hostile.open(path, target.headers) for path in (GET_SALE, UPLOAD_FILES) for _ in range(200)]
                for hostile in (one, two)
            }
            for hostile in streams:
                await hostile.sent()
            await target.serves()
            started = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            answers = [await hostile.answer(stream) for hostile, opened in streams.items() for stream in opened]
            # gRPC's core itself cancels what it has not handed to the server yet.
            told = [answer for answer in answers if answer.status is not grpc.StatusCode.CANCELLED]
            assert len(told) > 0.9 * len(answers)
            assert {(answer.status, answer.details.reason) for answer in told} == {
                (grpc.StatusCode.UNAVAILABLE, "STOPPING")
            }
            eventually_sync(lambda: server.said("stopped"))
            assert time.monotonic() - started < 3  # of 10
