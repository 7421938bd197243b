"""When a destination is left alone, what its callers are told meanwhile, and how it is found to be back."""

import asyncio
import time
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mesh.v1.error_reason_pb2 import ErrorReason
from prometheus_client import REGISTRY
from retail.ingest.v1.ingest_service_pb2 import UploadFilesRequest, WatchJobRequest
from retail.sales.v1.sales_service_pb2 import GetSaleRequest

from mesh.live.settings import Breaker as Settings
from mesh.live.settings import LiveSettings
from mesh.resilience.breaker import Breaker, Probe, Refused
from tests.calls import refused
from tests.eventually import eventually
from tests.resilience.scripted import Calls, Scripted, fail, hang, live, ok, outcome, refuse, scripted

SALE = GetSaleRequest(sale_id="6f1d9f3e-58b1-4f6b-9c38-0d6d3a1f2b11")
DEFAULT_SECONDS = 5.0
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
FAULTS = [
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DATA_LOSS,
]
ANSWERS = [
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.UNAUTHENTICATED,
]
NO_VERDICT = [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED]


def settings(failures: int = 3, open_seconds: float = 60.0) -> dict[str, Any]:
    return {"retry": {"max_attempts": 1}, "breaker": {"failures": failures, "open_seconds": open_seconds}}


def state(calls: Calls) -> float | None:
    return REGISTRY.get_sample_value("mesh_breaker_state", {"destination": calls.destination})


async def fails(server: Scripted, calls: Calls, times: int, code: grpc.StatusCode = UNAVAILABLE) -> None:
    server.script = [fail(code)]
    for _ in range(times):
        assert await outcome(calls.sales.GetSale(SALE)) is code


async def half_open(server: Scripted, calls: Calls) -> None:
    """Opened, and due for a probe at once."""
    await fails(server, calls, 3)
    assert state(calls) == 2
    server.began.clear()


async def due(server: Scripted, calls: Calls) -> bool:
    """Whether the time is over in which it is open."""
    server.script = [fail(grpc.StatusCode.CANCELLED)]  # tells nothing of the destination
    return await outcome(calls.sales.GetSale(SALE)) is grpc.StatusCode.CANCELLED


@pytest.mark.parametrize("code", FAULTS)
async def test_open_it_refuses_as_a_server_would_and_calls_nobody(code: grpc.StatusCode) -> None:
    async with scripted() as server, server.calls(live(**settings())) as calls:
        await fails(server, calls, 2, code)
        assert state(calls) == 0
        await fails(server, calls, 1, code)
        assert state(calls) == 2
        server.script = [ok]
        server.began.clear()

        refusal = await refused(calls.sales.GetSale(SALE))
        assert (refusal.code, refusal.reason, refusal.domain) == ("UNAVAILABLE", "CIRCUIT_OPEN", "mesh.v1")
        assert refusal.metadata == {"destination": calls.destination}
        assert 50 < (refusal.retry_after or 0) <= 60
        with pytest.raises(grpc.aio.AioRpcError):
            async for _ in calls.ingest.WatchJob(WatchJobRequest()):
                pass
        with pytest.raises(grpc.aio.AioRpcError):
            await calls.ingest.WatchJob(WatchJobRequest()).read()
        upload = calls.ingest.UploadFiles()
        with pytest.raises(grpc.aio.AioRpcError):
            await upload.write(UploadFilesRequest())
        assert await upload.code() is UNAVAILABLE
        assert server.began == []
        assert REGISTRY.get_sample_value("mesh_breaker_refused_total", {"destination": calls.destination}) == 4


async def test_a_refusal_is_quick() -> None:
    async with scripted() as server, server.calls(live(**settings())) as calls:
        await half_open(server, calls)
        times = []
        for _ in range(300):
            began = time.perf_counter()
            assert await outcome(calls.sales.GetSale(SALE)) is UNAVAILABLE
            times.append(time.perf_counter() - began)
        assert sorted(times)[150] < 0.001  # 100 us is measured by the bench, on a machine with nothing else to do


@pytest.mark.parametrize("code", ANSWERS)
async def test_an_answer_of_a_destination_that_is_well_is_no_failure(code: grpc.StatusCode) -> None:
    async with scripted() as server, server.calls(live(**settings())) as calls:
        await fails(server, calls, 2)
        await fails(server, calls, 5, code)
        await fails(server, calls, 2)
        assert state(calls) == 0


@pytest.mark.parametrize("code", NO_VERDICT)
async def test_what_tells_nothing_of_the_destination_neither_counts_nor_clears(code: grpc.StatusCode) -> None:
    async with scripted() as server, server.calls(live(**settings())) as calls:
        await fails(server, calls, 2)
        server.script = [fail(code)]
        for _ in range(5):
            assert await outcome(calls.sales.GetSale(SALE, timeout=DEFAULT_SECONDS - 1)) is code
        assert state(calls) == 0
        await fails(server, calls, 1)
        assert state(calls) == 2


async def test_a_deadline_counts_if_the_call_had_the_time_that_its_contract_gives() -> None:
    async with scripted() as server, server.calls(live(**settings())) as calls:
        server.script = [fail(grpc.StatusCode.DEADLINE_EXCEEDED)]
        for seconds in (DEFAULT_SECONDS, DEFAULT_SECONDS + 60, None):
            assert state(calls) == 0
            await outcome(calls.sales.GetSale(SALE, timeout=seconds))
        assert state(calls) == 2


async def test_a_caller_who_gives_up_counts_for_nothing() -> None:
    async with scripted() as server, server.calls(live(**settings())) as calls:
        server.script = [hang]
        for _ in range(5):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(outcome(calls.sales.GetSale(SALE)), 0.02)
        assert state(calls) == 0


async def test_retries_are_part_of_the_one_call() -> None:
    async with scripted() as server:
        parts = settings() | {"retry": {"max_attempts": 3, "first_backoff_seconds": 0.001}}
        async with server.calls(live(**parts)) as calls:
            await fails(server, calls, 2)
            assert len(server.began) == 6
            assert state(calls) == 0
            await fails(server, calls, 1)
            assert state(calls) == 2


async def test_of_50_calls_at_once_exactly_one_probes() -> None:
    async with scripted() as server, server.calls(live(**settings(open_seconds=0.3))) as calls:
        await half_open(server, calls)
        await eventually(lambda: due(server, calls))
        go = asyncio.Event()
        server.began.clear()

        async def answer(_: object) -> None:
            await go.wait()

        server.script = [answer]
        calls_at_once = [asyncio.create_task(outcome(calls.sales.GetSale(SALE))) for _ in range(50)]

        async def refused_are_done() -> bool:
            return sum(call.done() for call in calls_at_once) == 49

        await eventually(refused_are_done)
        assert state(calls) == 1
        go.set()
        outcomes = await asyncio.gather(*calls_at_once)
        assert outcomes.count(grpc.StatusCode.OK) == 1
        assert len(server.began) == 1
        assert state(calls) == 0
        assert await outcome(calls.sales.GetSale(SALE)) is grpc.StatusCode.OK


async def test_a_probe_that_fails_opens_it_again() -> None:
    async with scripted() as server, server.calls(live(**settings(open_seconds=0.2))) as calls:
        await half_open(server, calls)
        await eventually(lambda: due(server, calls))
        await fails(server, calls, 1)
        assert state(calls) == 2
        assert (await refused(calls.sales.GetSale(SALE))).reason == "CIRCUIT_OPEN"


@pytest.mark.parametrize("by", ["task", "call"])
async def test_a_probe_that_is_cancelled_leaves_its_place(by: str) -> None:
    parts = settings(open_seconds=0.5)
    async with scripted() as server, server.calls(live(**parts)) as calls:
        await half_open(server, calls)
        await eventually(lambda: due(server, calls))
        server.began.clear()
        server.script = [hang, ok]
        call = calls.sales.GetSale(SALE)
        probe = asyncio.create_task(outcome(call))

        async def hanging() -> bool:
            return len(server.began) == 1

        await eventually(hanging)
        (probe if by == "task" else call).cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        assert await outcome(calls.sales.GetSale(SALE)) is grpc.StatusCode.OK
        assert state(calls) == 0


async def test_a_probe_without_an_end_does_not_hold_the_others_for_ever() -> None:
    async with scripted() as server, server.calls(live(**settings(open_seconds=0.2))) as calls:
        await half_open(server, calls)
        await eventually(lambda: due(server, calls))
        server.script = [hang, ok]
        probe = calls.sales.GetSale(SALE)
        assert (await refused(calls.sales.GetSale(SALE))).reason == "CIRCUIT_OPEN"

        async def closed() -> bool:
            return await outcome(calls.sales.GetSale(SALE)) is grpc.StatusCode.OK

        await eventually(closed)
        assert not probe.done()


async def test_the_first_message_of_a_stream_is_a_success() -> None:
    async with scripted() as server, server.calls(live(**settings(open_seconds=0.2))) as calls:
        await half_open(server, calls)
        await eventually(lambda: due(server, calls))
        server.script = [ok]
        server.after = hang
        call = calls.ingest.WatchJob(WatchJobRequest())
        assert state(calls) == 1
        await anext(aiter(call))
        assert state(calls) == 0
        call.cancel()


async def test_a_destination_that_heals_is_called_again() -> None:
    async with scripted() as server, server.calls(live(**settings(open_seconds=0.2))) as calls:
        await half_open(server, calls)
        server.script = [ok]

        async def healed() -> bool:
            return await outcome(calls.sales.GetSale(SALE)) is grpc.StatusCode.OK

        await eventually(healed, timeout=2)
        assert state(calls) == 0
        assert len(server.began) == 1


async def test_its_settings_change_while_it_is_in_use() -> None:
    now = live(**settings(failures=100, open_seconds=600))
    async with scripted() as server, server.calls(now) as calls:
        await fails(server, calls, 2)
        now.current = LiveSettings.model_validate(settings(failures=3, open_seconds=600))
        await fails(server, calls, 1)
        assert state(calls) == 2
        assert ((await refused(calls.sales.GetSale(SALE))).retry_after or 0) > 500
        now.current = LiveSettings.model_validate(settings(open_seconds=0.01))
        server.script = [ok]

        async def closed() -> bool:
            return await outcome(calls.sales.GetSale(SALE)) is grpc.StatusCode.OK

        await eventually(closed)


async def test_a_message_too_large_for_this_side_is_not_the_destinations_fault() -> None:
    async with scripted() as server, server.calls(live(**settings())) as calls:
        large = GetSaleRequest(sale_id="x" * 5_000_000)
        for _ in range(5):
            assert await outcome(calls.sales.GetSale(large)) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert state(calls) == 0


async def test_refusals_of_overload_do_not_open_it() -> None:
    async with scripted() as server, server.calls(live(**settings())) as calls:
        server.script = [refuse(ErrorReason.ERROR_REASON_OVERLOADED, retry_after=0.01, limit="server")]
        for _ in range(5):
            assert await outcome(calls.sales.GetSale(SALE)) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert state(calls) == 0


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def asked(breaker: Breaker) -> tuple[Probe | None, float | None]:
    """What it lets through, or for how many seconds it does not."""
    try:
        return breaker.admit(), None
    except Refused as refusal:
        return None, refusal.retry_after


operations = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.just(0.0)),
        st.tuples(st.sampled_from(["succeeded", "failed", "gave_up"]), st.floats(0, 1)),
        st.tuples(st.just("wait"), st.floats(0, 8)),
    ),
    max_size=200,
)


@given(operations)
def test_whatever_happens_one_probe_at_a_time_and_only_when_it_is_due(steps: list[tuple[str, float]]) -> None:
    clock, rules = Clock(), Settings(failures=3, open_seconds=5.0)
    breaker = Breaker("any", lambda: rules, clock)
    under_way: list[Probe | None] = []
    probing: Probe | None = None
    row, opened = 0, 0.0
    for step, number in steps:
        was_closed = breaker.closed
        if step == "wait":
            clock.now += number
        elif step == "call":
            probe, retry_after = asked(breaker)
            if retry_after is not None:
                assert not was_closed
                assert 0 < retry_after <= rules.open_seconds
                continue
            assert (probe is None) == was_closed
            if probe is not None:
                assert clock.now >= opened + rules.open_seconds
                assert probing is None or clock.now >= probing.since + rules.open_seconds  # that one is lost
                probing = probe
            under_way.append(probe)
        elif under_way:
            ended = under_way.pop(int(number * (len(under_way) - 1)))
            counts = was_closed or (ended is not None and ended is probing)
            getattr(breaker, step)(ended)
            if not counts:
                assert breaker.closed == was_closed
            elif was_closed:
                row = {"succeeded": 0, "failed": row + 1, "gave_up": row}[step]
                assert breaker.closed == (row < rules.failures)
            else:
                row, probing = 0, None
                assert breaker.closed == (step == "succeeded")
            if counts and step == "failed" and not breaker.closed:
                opened = clock.now


def test_failures_of_calls_that_began_before_one_that_succeeded_are_old_news() -> None:
    breaker = Breaker("any", lambda: Settings(failures=3, open_seconds=5.0), Clock())
    breaker.well_at = 10.0
    for _ in range(100):  # the calls that a silent instance held
        breaker.failed(None, began=9.0)
    assert breaker.closed
    for began in (11.0, 11.0, 11.0):
        breaker.failed(None, began)
    assert not breaker.closed
