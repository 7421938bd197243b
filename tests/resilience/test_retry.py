"""What is tried again, how often, when, and what is not."""

import asyncio
import gc
import signal
import time

import grpc
import pytest
from mesh.v1.error_reason_pb2 import ErrorReason
from prometheus_client import REGISTRY
from retail.auth.v1.auth_service_pb2 import LoginRequest
from retail.ingest.v1.ingest_service_pb2 import UploadFilesRequest, WatchJobRequest
from retail.sales.v1.sales_service_pb2 import GetSaleRequest, GetSaleResponse

from mesh.client import MeshChannel
from mesh.live.settings import LiveSettings
from mesh.resilience.deadline import deadline
from tests.calls import refused
from tests.eventually import eventually
from tests.resilience.scripted import Calls, fail, hang, live, ok, outcome, refuse, scripted, victim

SALE = GetSaleRequest(sale_id="6f1d9f3e-58b1-4f6b-9c38-0d6d3a1f2b11")
GET_SALE = "/retail.sales.v1.SalesService/GetSale"
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
EXCEEDED = grpc.StatusCode.DEADLINE_EXCEEDED
QUICK = {"first_backoff_seconds": 0.01}


def told(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_an_idempotent_call_is_made_again_until_it_succeeds() -> None:
    async with scripted() as server, server.calls(live(retry=QUICK)) as calls:
        server.script = [fail(UNAVAILABLE), fail(UNAVAILABLE), ok]
        call = calls.sales.GetSale(SALE)
        assert await call.code() is grpc.StatusCode.OK
        assert await call == await call == GetSaleResponse()
        assert len(server.began) == 3
        labels = {"destination": calls.destination, "method": GET_SALE}
        assert told("mesh_client_retries_total", **labels) == 2
        assert told("mesh_client_calls_total", **labels, code="OK") == 1
        assert told("mesh_client_call_seconds_count", **labels) == 1


async def test_it_is_made_as_often_as_the_live_settings_say() -> None:
    settings = live(retry={**QUICK, "max_attempts": 4})
    async with scripted() as server, server.calls(settings) as calls:
        server.script = [fail(UNAVAILABLE)]
        assert await outcome(calls.sales.GetSale(SALE)) is UNAVAILABLE
        assert len(server.began) == 4
        settings.current = LiveSettings.model_validate({"retry": {"max_attempts": 1}})
        assert await outcome(calls.sales.GetSale(SALE)) is UNAVAILABLE
        assert len(server.began) == 5


TRIED_AGAIN = {UNAVAILABLE, grpc.StatusCode.CANCELLED}


@pytest.mark.parametrize("code", sorted(TRIED_AGAIN, key=str))
async def test_a_server_that_went_away_is_tried_again(code: grpc.StatusCode) -> None:
    async with scripted() as server, server.calls(live(retry=QUICK)) as calls:
        server.script = [fail(code), ok]
        assert await calls.sales.GetSale(SALE) == GetSaleResponse()


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code not in {grpc.StatusCode.OK, *TRIED_AGAIN}])
async def test_no_other_failure_is_tried_again(code: grpc.StatusCode) -> None:
    async with scripted() as server, server.calls(live(retry=QUICK)) as calls:
        server.script = [fail(code)]
        assert await outcome(calls.sales.GetSale(SALE)) is code
        assert len(server.began) == 1


async def test_a_call_that_is_not_idempotent_is_made_once() -> None:
    async with scripted() as server, server.calls(live(retry=QUICK)) as calls:
        server.script = [fail(UNAVAILABLE)]
        assert await outcome(calls.auth.Login(LoginRequest())) is UNAVAILABLE
        assert len(server.began) == 1


@pytest.mark.parametrize(
    "refusal",
    [
        refuse(ErrorReason.ERROR_REASON_STOPPING),
        refuse(ErrorReason.ERROR_REASON_OVERLOADED, retry_after=0.01, limit="server"),
    ],
)
async def test_a_call_that_was_not_begun_is_made_again_whatever_it_does(refusal: object) -> None:
    async with scripted() as server, server.calls(live(retry=QUICK)) as calls:
        server.script = [refusal, ok]  # type: ignore[list-item]
        assert await outcome(calls.auth.Login(LoginRequest())) is grpc.StatusCode.OK
        assert len(server.began) == 2


async def test_it_waits_as_long_as_the_server_asks() -> None:
    async with scripted() as server, server.calls(live(retry=QUICK)) as calls:
        server.script = [refuse(ErrorReason.ERROR_REASON_OVERLOADED, retry_after=0.4, limit="server"), ok]
        assert await outcome(calls.sales.GetSale(SALE)) is grpc.StatusCode.OK
        first, second = server.began
        assert second - first >= 0.4


async def test_if_there_is_no_time_to_wait_it_fails_at_once_as_it_did() -> None:
    async with scripted() as server, server.calls(live(retry=QUICK)) as calls:
        server.script = [refuse(ErrorReason.ERROR_REASON_OVERLOADED, retry_after=9.0, limit="server"), ok]
        began = time.monotonic()
        refusal = await refused(calls.sales.GetSale(SALE, timeout=5))
        assert time.monotonic() - began < 2
        assert (refusal.code, refusal.reason, refusal.retry_after) == ("RESOURCE_EXHAUSTED", "OVERLOADED", 9.0)
        assert len(server.began) == 1


async def test_each_attempt_has_what_remains_of_the_deadline() -> None:
    async with scripted() as server, server.calls(live(retry=QUICK)) as calls:
        wait = refuse(ErrorReason.ERROR_REASON_OVERLOADED, retry_after=0.3, limit="server")
        server.script = [wait, wait, ok]
        assert await outcome(calls.sales.GetSale(SALE, timeout=3)) is grpc.StatusCode.OK
        first, second, third = server.remaining
        assert first - second >= 0.25
        assert second - third >= 0.25


async def test_nothing_lasts_longer_than_its_deadline() -> None:
    async with scripted() as server, server.calls(live(retry=QUICK)) as calls:
        server.script = [fail(UNAVAILABLE), hang]
        began = time.monotonic()
        assert await outcome(calls.sales.GetSale(SALE, timeout=0.5)) is EXCEEDED
        assert 0.4 < time.monotonic() - began < 2


async def test_a_stopped_process_holds_nobody_past_the_deadline() -> None:
    with victim() as server:
        async with Calls(server.address, live()) as calls:
            await calls.sales.GetSale(SALE)
            server.signal(signal.SIGSTOP)
            began = time.monotonic()
            waiting = [outcome(calls.sales.GetSale(SALE, timeout=0.5)) for _ in range(20)]
            assert set(await asyncio.gather(*waiting)) == {EXCEEDED}
            assert time.monotonic() - began < 3


async def test_a_call_made_for_another_ends_before_it() -> None:
    async with scripted() as server, server.calls(live()) as calls:
        server.script = [hang]
        token = deadline.set(time.monotonic() + 0.5)
        try:
            assert await outcome(calls.sales.GetSale(SALE, timeout=60)) is EXCEEDED
            assert time.monotonic() < (deadline.get() or 0)
            deadline.set(time.monotonic() + 0.005)
            refusal = await refused(calls.sales.GetSale(SALE))
            assert (refusal.code, refusal.reason) == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")
        finally:
            deadline.reset(token)
        assert len(server.began) == 1
        assert 0.3 < server.remaining[0] <= 0.51


async def test_a_caller_who_gives_up_ends_the_attempt_under_way() -> None:
    async with scripted() as server, server.calls(live(retry=QUICK)) as calls:
        server.script = [fail(UNAVAILABLE), hang]

        async def hanging() -> bool:
            return len(server.began) == 2

        async def ended() -> bool:
            return server.cancelled == 1

        caller = asyncio.create_task(outcome(calls.sales.GetSale(SALE)))
        await eventually(hanging)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await eventually(ended)


async def test_a_call_that_is_cancelled_while_it_waits_is_not_made_again() -> None:
    async with scripted() as server, server.calls(live()) as calls:
        server.script = [refuse(ErrorReason.ERROR_REASON_OVERLOADED, retry_after=3.0, limit="server"), ok]
        call = calls.sales.GetSale(SALE)
        ended: list[object] = []
        call.add_done_callback(ended.append)

        async def called() -> bool:
            return len(server.began) == 1

        async def told_the_end() -> bool:
            return ended == [call]

        await eventually(called)
        with pytest.raises(TimeoutError):  # who gives up waiting for the code does not cancel the call
            await asyncio.wait_for(call.code(), 0.05)
        assert not call.done()
        assert call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert call.cancelled()
        assert call.done()
        assert await call.code() is grpc.StatusCode.CANCELLED
        assert not call.cancel()
        await eventually(told_the_end)
        assert len(server.began) == 1


async def test_a_stream_is_made_again_until_its_first_message_and_never_after() -> None:
    async with scripted() as server, server.calls(live(retry=QUICK)) as calls:
        server.script = [fail(UNAVAILABLE), ok]
        assert len([message async for message in calls.ingest.WatchJob(WatchJobRequest())]) == 2
        assert len(server.began) == 2

        call = calls.ingest.WatchJob(WatchJobRequest())
        server.script = [fail(UNAVAILABLE), ok]
        read = []
        while (message := await call.read()) is not grpc.aio.EOF:
            read.append(message)
        assert len(read) == 2
        assert await call.code() is grpc.StatusCode.OK

        server.after = fail(UNAVAILABLE)
        server.began.clear()
        cut = aiter(calls.ingest.WatchJob(WatchJobRequest()))
        await anext(cut)
        await anext(cut)
        assert await outcome(anext(cut)) is UNAVAILABLE
        assert len(server.began) == 1


async def test_a_stream_that_is_cancelled_while_it_waits_is_not_made_again() -> None:
    async with scripted() as server, server.calls(live()) as calls:
        server.script = [refuse(ErrorReason.ERROR_REASON_OVERLOADED, retry_after=3.0, limit="server"), ok]
        call = calls.ingest.WatchJob(WatchJobRequest())
        reading = asyncio.ensure_future(call.read())

        async def waits() -> bool:
            method = "/retail.ingest.v1.IngestService/WatchJob"
            return told("mesh_client_retries_total", destination=server.address, method=method) == 1

        await eventually(waits)
        assert not call.done()
        assert call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert call.cancelled()
        assert await call.code() is grpc.StatusCode.CANCELLED
        assert len(server.began) == 1


async def test_a_stream_of_requests_is_sent_once() -> None:
    async with scripted() as server, server.calls(live(retry=QUICK)) as calls:
        server.script = [fail(UNAVAILABLE)]
        assert await outcome(calls.ingest.UploadFiles(iter([UploadFilesRequest()]))) is UNAVAILABLE
        call = calls.ingest.UploadFiles()
        await call.write(UploadFilesRequest())
        await call.done_writing()
        assert await outcome(call) is UNAVAILABLE
        assert len(server.began) == 2


async def test_in_total_outage_there_are_at_most_12_attempts_for_10_calls() -> None:
    settings = live(breaker={"failures": 10_000})  # it would make it far fewer
    count, per_second = 700, 100
    with victim() as server:
        async with Calls(server.address, settings) as calls:
            await calls.sales.GetSale(SALE)
            server.signal(signal.SIGKILL)
            under_way = []
            for _ in range(count):
                under_way.append(asyncio.create_task(outcome(calls.sales.GetSale(SALE))))
                await asyncio.sleep(1 / per_second)  # the rate of the load
            assert set(await asyncio.gather(*under_way)) == {UNAVAILABLE}
            retries = told("mesh_client_retries_total", destination=calls.destination, method=GET_SALE)
            assert 0 < retries <= 0.2 * count
            assert told("mesh_client_retries_refused_total", destination=calls.destination) > 0
            assert told("mesh_retry_budget_remaining", destination=calls.destination) < 10


async def test_all_channels_to_a_destination_share_its_budget() -> None:
    settings = live(retry={**QUICK, "budget_ratio": 0.0, "budget_floor_per_second": 0.0})
    async with scripted() as server, server.calls(settings, "shared") as one, server.calls(settings, "shared") as two:
        server.script = [ok]
        for _ in range(9):
            await one.sales.GetSale(SALE)
        server.script = [fail(UNAVAILABLE)]
        server.began.clear()
        settings.current = LiveSettings.model_validate(
            {"retry": {**QUICK, "budget_ratio": 0.1, "budget_floor_per_second": 0.0}}
        )
        assert await outcome(two.sales.GetSale(SALE)) is UNAVAILABLE  # the tenth call buys the one retry
        assert len(server.began) == 2


async def test_a_call_that_succeeds_makes_no_task_of_ours() -> None:
    async with scripted() as server, server.calls(live()) as calls:
        bare = grpc.aio.insecure_channel(server.address)
        made: list[str] = []
        loop = asyncio.get_running_loop()

        def counting(loop: asyncio.AbstractEventLoop, work: object, **options: object) -> "asyncio.Task[object]":
            made.append(getattr(work, "__qualname__", ""))
            return asyncio.Task(work, loop=loop, **options)  # type: ignore[arg-type]

        async with bare:
            stub = type(calls.sales)(bare)
            counts = []
            for get in (stub.GetSale, calls.sales.GetSale):
                await get(SALE)
                made.clear()
                loop.set_task_factory(counting)  # type: ignore[arg-type]
                try:
                    await get(SALE)
                finally:
                    loop.set_task_factory(None)
                counts.append([name for name in made if "Call" in name])
        assert counts[0] == counts[1] == ["UnaryUnaryCall._invoke"]


async def test_nothing_is_left_behind_when_the_channel_closes_under_calls() -> None:
    async with scripted() as server:
        server.script = [hang]
        calls = server.calls(live())
        waiting = [asyncio.create_task(outcome(calls.sales.GetSale(SALE))) for _ in range(5)]

        async def all_there() -> bool:
            return len(server.began) == 5

        async def all_ended() -> bool:
            return server.cancelled == 5

        await eventually(all_there)
        await calls.channel.close()
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended)
        await eventually(all_ended)
        with pytest.raises(grpc.aio.UsageError):
            calls.sales.GetSale(SALE)
        del waiting, ended
        gc.collect()


async def test_the_rest_of_the_channel_is_the_inner_ones() -> None:
    async with scripted() as server, MeshChannel(grpc.aio.insecure_channel(server.address), server.address) as channel:
        before = channel.get_state(try_to_connect=True)
        await channel.wait_for_state_change(before)
        await channel.channel_ready()
        assert channel.get_state() is grpc.ChannelConnectivity.READY
    assert channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN
