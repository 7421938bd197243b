"""What peers that break the rules get, and that nobody else is worse off.

tests/gateway/test_hostile.py runs the same through Envoy: a test here knows nothing of what is behind `target`.
"""

import asyncio
import os

import grpc
import psutil
import pytest

from tests.eventually import eventually
from tests.hostile.peer import Answer, Peer, framed, peer
from tests.hostile.target import GET_SALE, REQUEST, UPLOAD_FILES, WELL, Target, refused_well

MEBIBYTE = 1024 * 1024
MALFORMED = {
    "grpc-timeout": [("grpc-timeout", "bogus")],
    "grpc-timeout of no unit": [("grpc-timeout", "100")],
    "grpc-timeout of nine digits": [("grpc-timeout", "123456789S")],
    "negative grpc-timeout": [("grpc-timeout", "-1S")],
    "base64": [("x-data-bin", "!!!!")],
    "base64 of a wrong length": [("x-data-bin", "abcde")],
    "compression": [("grpc-encoding", "bogus")],
    "content type": [("content-type", "application/json")],
    "codec": [("content-type", "application/grpc+bogus")],
    "no te": [("te", "bogus")],
}


def memory(target: Target) -> int:
    return sum(psutil.Process(pid).memory_info().rss for pid in target.pids)


async def judged(hostile: Peer, stream: int) -> Answer | None:
    """The answer; None if the server closed the connection over it, which hits nobody but its owner."""
    try:
        return await hostile.answer(stream)
    except ConnectionError:
        return None


@pytest.mark.parametrize("headers", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_bad_header_fails_its_own_call_at_most(target: Target, headers: list[tuple[str, str]]) -> None:
    async with peer(target.address) as hostile:
        for _ in range(3):
            bad = await judged(hostile, hostile.open(GET_SALE, [*target.headers, *headers], framed(REQUEST)))
            if bad is None:
                break
            assert bad.status in WELL or refused_well(bad), bad
            good = await hostile.call(GET_SALE, target.headers, REQUEST)
            assert good.status in WELL, good
            await target.serves()
    await target.serves()


@pytest.mark.parametrize("path", ["/retail.sales.v1.SalesService/Nothing", "/no.Service/GetSale", "/", "/a/b/c", "*"])
async def test_an_unknown_method_is_unimplemented(target: Target, path: str) -> None:
    async with peer(target.address) as hostile:
        answer = await judged(hostile, hostile.open(path, target.headers, framed(REQUEST)))
        if answer is not None:
            assert answer.status is grpc.StatusCode.UNIMPLEMENTED or answer.headers[":status"] == "404", answer
            assert refused_well(answer)
            assert (await hostile.call(GET_SALE, target.headers, REQUEST)).status in WELL
    await target.serves()


@pytest.mark.parametrize("garbage", [b"\xff" * 20, b"\x0a\xff", b"{}", os.urandom(1000)])
async def test_a_message_that_is_none_is_refused_without_a_word_of_the_inside(target: Target, garbage: bytes) -> None:
    async with peer(target.address) as hostile:
        answer = await hostile.call(GET_SALE, target.headers, garbage)
        assert answer.status is grpc.StatusCode.INTERNAL, answer
        assert answer.message == "The request cannot be parsed"
        assert refused_well(answer)
        assert (await hostile.call(GET_SALE, target.headers, REQUEST)).status in WELL


async def test_an_unknown_compression_is_refused(target: Target) -> None:
    async with peer(target.address) as hostile:
        body = framed(REQUEST, compressed=True)
        answer = await hostile.answer(hostile.open(GET_SALE, [*target.headers, ("grpc-encoding", "bogus")], body))
        # UNIMPLEMENTED by gRPC's rules; its core takes it for a malformed header, before any server hears of it.
        assert answer.status in {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL}, answer
        assert refused_well(answer)
        assert (await hostile.call(GET_SALE, target.headers, REQUEST)).status in WELL


@pytest.mark.parametrize(
    "body",
    [
        framed(REQUEST, compressed=True),  # and no grpc-encoding
        b"\x07" + framed(REQUEST)[1:],  # a flag that does not exist
        framed(REQUEST, declared=len(REQUEST) + 1),  # shorter than it says
        framed(REQUEST, declared=3),  # longer than it says
        framed(REQUEST)[:3],  # half a prefix
        framed(REQUEST) + framed(REQUEST)[:-1],  # more than one
        b"",
    ],
    ids=["compressed", "flag", "short", "long", "half", "more", "none"],
)
async def test_a_wrong_frame_fails_its_own_call_at_most(target: Target, body: bytes) -> None:
    async with peer(target.address) as hostile:
        answer = await hostile.answer(hostile.open(GET_SALE, target.headers, body))
        assert answer.status in WELL or refused_well(answer), answer
        assert (await hostile.call(GET_SALE, target.headers, REQUEST)).status in WELL


@pytest.mark.parametrize("declared", [None, 2**32 - 1])
async def test_a_message_that_is_too_large_is_refused_by_its_prefix(target: Target, declared: int | None) -> None:
    before = memory(target)
    declared = declared or target.message_bytes + 1
    async with peer(target.address) as hostile:
        answer = await hostile.answer(
            hostile.open(GET_SALE, target.headers, framed(REQUEST, declared=declared), end=False)
        )
        assert answer.status is grpc.StatusCode.RESOURCE_EXHAUSTED, answer
        assert refused_well(answer)
        assert (await hostile.call(GET_SALE, target.headers, REQUEST)).status in WELL
    assert memory(target) - before < 32 * MEBIBYTE


async def test_headers_that_are_too_large_are_refused(target: Target) -> None:
    async with peer(target.address) as hostile:
        # A limit counts once the peer has acknowledged it, without which gRPC closes the connection after a while.
        assert (await hostile.call(GET_SALE, target.headers, REQUEST)).status in WELL
        large = [*target.headers, ("x-large", "x" * 100_000)]
        answer = await judged(hostile, hostile.open(GET_SALE, large, framed(REQUEST)))
        if answer is not None:
            assert answer.status in {None, grpc.StatusCode.RESOURCE_EXHAUSTED}, answer
            assert refused_well(answer)
    await target.serves()


async def test_endless_headers_cost_no_memory(target: Target) -> None:
    """CONTINUATION frames without end, CVE-2024-27983 and its kin."""
    before = memory(target)

    async def attack() -> None:
        async with peer(target.address) as hostile:
            hostile.raw(_frame(b"\x00\x07x-first\x01a", kind=1, flags=0, stream=1))
            for number in range(64 * 64):  # 64 MiB, if they are all taken
                hostile.raw(_frame((b"\x00\x04x%03d\x7f\x80\x7e" % (number % 1000)) + b"x" * 16255, 9, 0, 1))
                if number % 16 == 0:
                    try:
                        await hostile.sent()
                    except ConnectionError:
                        return

    await target.serves_during(attack)
    assert memory(target) - before < 32 * MEBIBYTE


async def test_streams_above_the_limit_are_refused_and_the_others_are_not(target: Target) -> None:
    async with peer(target.address) as hostile:  # has not read the server's settings, and needs not have
        streams = [hostile.open(GET_SALE, target.headers) for _ in range(1500)]
        await hostile.sent()
        await target.serves()

        async def some_were_refused() -> bool:
            return any(hostile.answer_so_far(stream).ended.is_set() for stream in streams) or hostile.closed.is_set()

        await eventually(some_were_refused, 15)
        await target.serves()


async def test_a_storm_of_resets_harms_nobody(target: Target) -> None:
    """Streams opened and reset at once, CVE-2023-44487."""
    before = memory(target)

    async def attack() -> None:
        async with peer(target.address) as hostile:
            for number in range(2000):
                hostile.reset(hostile.open(GET_SALE, target.headers))
                if number % 50 == 0:
                    try:
                        await hostile.sent()
                    except ConnectionError:
                        return
                    await asyncio.sleep(0)

    await target.serves_during(attack)
    assert memory(target) - before < 64 * MEBIBYTE


@pytest.mark.parametrize("kind", [4, 6], ids=["settings", "pings"])
async def test_a_storm_of_control_frames_harms_nobody(target: Target, kind: int) -> None:
    before = memory(target)

    async def attack() -> None:
        async with peer(target.address) as hostile:
            payload = b"" if kind == 4 else b"12345678"
            for _ in range(200):
                hostile.raw(_frame(payload, kind, 0, 0) * 100)
                try:
                    await hostile.sent()
                except ConnectionError:
                    return

    await target.serves_during(attack)
    assert memory(target) - before < 32 * MEBIBYTE


@pytest.mark.parametrize(
    "noise", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01" + os.urandom(300), os.urandom(5000), b""]
)
async def test_noise_is_no_connection(target: Target, noise: bytes) -> None:
    host, _, port = target.address.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(noise)
    await target.serves()
    writer.close()


async def test_calls_that_send_no_message_take_nobodys_place(target: Target) -> None:
    """More of them than any limit of calls, over one connection and over several."""
    async with peer(target.address) as one, peer(target.address) as two, peer(target.address) as three:
        for hostile in (one, two, three):
            for _ in range(400):
                hostile.open(GET_SALE, target.headers)
                hostile.open(UPLOAD_FILES, target.headers)
            await hostile.sent()
        for _ in range(20):
            await target.serves()


def _frame(payload: bytes, kind: int, flags: int, stream: int) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
