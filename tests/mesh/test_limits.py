"""What bounds a call at a server: places, deadlines, the time in which its messages must come."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import REGISTRY
from retail.ingest.v1 import ingest_service_pb2 as ingest
from retail.ingest.v1.ingest_service_pb2_grpc import IngestServiceServicer, IngestServiceStub
from retail.sales.v1 import sales_service_pb2 as sales
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceServicer, SalesServiceStub

from mesh import contract
from mesh.error import Described, from_rpc_error
from mesh.interceptors.errors import Errors
from mesh.interceptors.incoming import Incoming
from mesh.live.settings import Limits, Live, LiveSettings
from mesh.resilience.deadline import remaining
from mesh.server import Server
from mesh.testing import Served, serving
from tests.eventually import eventually
from tests.hostile.peer import framed, peer

SALE_ID = "6f1d9f3e-58b1-4f6b-9c38-0d6d3a1f2b11"
REQUEST = sales.GetSaleRequest(sale_id=SALE_ID)


class Sales(SalesServiceServicer):
    """Works until it is let go, or as long as the database."""

    def __init__(self, database: asyncpg.Pool | None = None) -> None:
        self.go = asyncio.Event()
        self.working = 0
        self.remaining: list[float | None] = []
        self._database = database

    async def GetSale(self, request: Any, context: Any) -> sales.GetSaleResponse:
        self.working += 1
        try:
            await self.go.wait()
        finally:
            self.working -= 1
        return sales.GetSaleResponse()

    async def ListSales(self, request: Any, context: Any) -> sales.ListSalesResponse:
        self.remaining.append(remaining())
        if self._database is not None:
            await self._database.execute("SELECT pg_sleep(60) /* of ListSales */")
        return sales.ListSalesResponse()

    RecordSale = None  # type: ignore[assignment]


class Ingest(IngestServiceServicer):
    """Takes uploads, of which its contract lets eight be under way."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.working = 0

    async def UploadFiles(self, request_iterator: AsyncIterator[Any], context: Any) -> ingest.UploadFilesResponse:
        self.working += 1
        async for _ in request_iterator:
            await self.go.wait()
        return ingest.UploadFilesResponse()

    CreateJob = GetJob = ListJobs = CancelJob = WatchJob = ListQuarantinedRows = None  # type: ignore[assignment]


def bare(server: Served, permissions: set[str]) -> tuple[grpc.aio.Channel, tuple[tuple[str, str]]]:
    """A channel that neither retries nor breaks, and the metadata that its calls need."""
    token = server.issuer.token(permissions=permissions)
    return grpc.aio.insecure_channel(server.address), (("authorization", f"Bearer {token}"),)


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def failure_of(call: Any) -> Described:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call
    return from_rpc_error(failure.value)


async def test_calls_above_the_limit_wait_and_the_rest_is_refused_with_push_back() -> None:
    servicer = Sales()
    live = Live(LiveSettings(limits=Limits(max_concurrent_calls=2, max_queued_calls=1, queue_seconds=20)))
    refused = metric("mesh_server_refused_total", limit="server")
    async with serving(servicer, live=live) as server:
        channel, metadata = bare(server, {"sales.read"})
        async with channel:
            stub = SalesServiceStub(channel)
            calls = [stub.GetSale(REQUEST, metadata=metadata, timeout=20) for _ in range(3)]

            async def all_are_there() -> bool:
                return (metric("mesh_server_in_flight"), metric("mesh_server_queued")) == (2, 1)

            await eventually(all_are_there)
            got = await failure_of(stub.GetSale(REQUEST, metadata=metadata, timeout=20))
            assert (got.code, got.reason, got.metadata) == ("RESOURCE_EXHAUSTED", "OVERLOADED", {"limit": "server"})
            assert got.retry_after is not None
            assert 20 <= got.retry_after <= 40
            assert metric("mesh_server_refused_total", limit="server") == refused + 1
            assert servicer.working == 2

            health: Any = health_pb2_grpc.HealthStub(channel)
            checked = await health.Check(health_pb2.HealthCheckRequest())  # needs no place
            assert checked.status == health_pb2.HealthCheckResponse.SERVING

            live.current = LiveSettings(limits=Limits(max_concurrent_calls=4))
            calls.append(stub.GetSale(REQUEST, metadata=metadata, timeout=20))

            async def all_work() -> bool:
                return servicer.working == 4

            await eventually(all_work)
            servicer.go.set()
            await asyncio.gather(*calls)
            assert (metric("mesh_server_in_flight"), metric("mesh_server_queued")) == (0, 0)


async def test_who_waits_too_long_is_refused_and_who_gives_up_leaves_his_place() -> None:
    servicer = Sales()
    live = Live(LiveSettings(limits=Limits(max_concurrent_calls=1, max_queued_calls=5, queue_seconds=0.1)))
    async with serving(servicer, live=live) as server:
        channel, metadata = bare(server, {"sales.read"})
        async with channel:
            stub = SalesServiceStub(channel)
            first = stub.GetSale(REQUEST, metadata=metadata, timeout=20)

            async def works() -> bool:
                return servicer.working == 1

            await eventually(works)
            got = await failure_of(stub.GetSale(REQUEST, metadata=metadata, timeout=20))
            assert got.reason == "OVERLOADED"
            first.cancel()
            servicer.go.set()
            await eventually(lambda: _served(stub, metadata))


async def _served(stub: Any, metadata: Any) -> bool:
    await stub.GetSale(REQUEST, metadata=metadata, timeout=20)
    return True


async def test_a_method_has_a_limit_of_its_own_and_a_stream_takes_its_place_with_its_first_message() -> None:
    servicer = Ingest()
    live = Live(LiveSettings(limits=Limits(max_queued_calls=0)))
    async with serving(servicer, live=live) as server:
        channel, metadata = bare(server, {"files.write"})
        async with channel:
            stub = IngestServiceStub(channel)
            silent = [stub.UploadFiles(metadata=metadata, timeout=20) for _ in range(20)]
            busy = [stub.UploadFiles(metadata=metadata, timeout=20) for _ in range(8)]
            for call in busy:
                await call.write(ingest.UploadFilesRequest(filename="a.csv"))

            async def all_work() -> bool:
                return servicer.working == 8

            await eventually(all_work)

            async def one_more() -> AsyncIterator[ingest.UploadFilesRequest]:
                yield ingest.UploadFilesRequest(filename="a.csv")

            got = await failure_of(stub.UploadFiles(one_more(), metadata=metadata, timeout=20))
            assert (got.reason, got.metadata) == ("OVERLOADED", {"limit": "method"})
            servicer.go.set()
            for call in busy:
                await call.done_writing()
                await call
            assert not any(call.done() for call in silent)


@contextlib.asynccontextmanager
async def impatient() -> AsyncIterator[tuple[Ingest, grpc.aio.Channel]]:
    servicer = Ingest()
    servicer.go.set()
    server = Server(Sales(), servicer, interceptors=[Errors(), Incoming(first_seconds=0.3, next_seconds=0.6)])
    port = await server.start("127.0.0.1")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield servicer, channel
    await server.stop(None)


async def test_a_call_that_sends_no_message_ends() -> None:
    async with impatient() as (_, channel):
        started = time.monotonic()
        silent: Any = channel.stream_unary("/retail.sales.v1.SalesService/GetSale")(timeout=20)  # the same on the wire
        got = await failure_of(silent)
        assert (got.code, got.reason) == ("DEADLINE_EXCEEDED", "REQUEST_NOT_SENT")
        assert time.monotonic() - started < 5
        got = await failure_of(IngestServiceStub(channel).UploadFiles(timeout=20))
        assert got.reason == "REQUEST_NOT_SENT"


async def test_a_client_stream_that_pauses_too_long_ends_and_one_that_goes_on_does_not() -> None:
    async with impatient() as (servicer, channel):
        stub = IngestServiceStub(channel)
        steady = stub.UploadFiles(timeout=20)
        ending = asyncio.ensure_future(failure_of(steady))
        for _ in range(5):
            await steady.write(ingest.UploadFilesRequest(filename="a.csv"))
            done, _ = await asyncio.wait([ending], timeout=0.25)  # a pause shorter than may be; all, longer
            assert not done
        ending.cancel()
        assert servicer.working == 1

        started = time.monotonic()
        paused = stub.UploadFiles(timeout=20)
        await paused.write(ingest.UploadFilesRequest(filename="a.csv"))
        assert (await failure_of(paused)).reason == "REQUEST_NOT_SENT"
        assert 0.5 < time.monotonic() - started < 5


async def test_a_call_knows_what_remains_of_it() -> None:
    servicer = Sales()
    async with serving(servicer) as server:
        channel, metadata = bare(server, {"sales.read"})
        async with channel:
            stub = SalesServiceStub(channel)
            await stub.ListSales(sales.ListSalesRequest(), metadata=metadata)
            await stub.ListSales(sales.ListSalesRequest(), metadata=metadata, timeout=2)
    default, own = servicer.remaining
    assert default is not None
    assert own is not None
    assert 3 < default <= contract.method("/retail.sales.v1.SalesService/ListSales").default_deadline_seconds
    assert 1 < own <= 2.1
    assert remaining() is None


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(database_url, min_size=1, max_size=4) as pool:
        yield pool


async def sleeping(database_url: str) -> int:
    """How many queries of ListSales PostgreSQL is working on."""
    connection = await asyncpg.connect(database_url)
    try:
        return int(
            await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%of ListSales%'"
                " AND pid <> pg_backend_pid()"
            )
        )
    finally:
        await connection.close()


@pytest.mark.parametrize("how", ["gives up", "has a deadline", "brings no deadline"])
async def test_database_work_stops_with_its_call(database_url: str, database: asyncpg.Pool, how: str) -> None:
    async with serving(Sales(database)) as server:
        channel, metadata = bare(server, {"sales.read"})
        async with channel:
            timeout = 1.5 if how == "has a deadline" else None
            call = SalesServiceStub(channel).ListSales(sales.ListSalesRequest(), metadata=metadata, timeout=timeout)

            async def works() -> bool:
                return await sleeping(database_url) == 1

            async def stopped() -> bool:
                return await sleeping(database_url) == 0

            await eventually(works)
            if how == "gives up":
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
            else:
                assert (await failure_of(call)).code == "DEADLINE_EXCEEDED"
            await eventually(stopped, 5)
            assert await database.fetchval("SELECT 1") == 1


async def test_neither_silent_nor_watching_health_checks_stall_a_stop() -> None:
    server = Server(Sales())
    await server.set_serving(True)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{await server.start('127.0.0.1')}") as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        watching = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
        silent: list[Any] = [
            channel.stream_unary("/grpc.health.v1.Health/Check")(),
            channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")(),
        ]
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
        started = time.monotonic()
        await server.stop(20)
        assert time.monotonic() - started < 5
        for call in [watching, *silent]:
            assert await call.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_watcher_that_takes_nothing_holds_up_no_change_and_a_stop_no_longer_than_its_grace() -> None:
    server = Server(Sales())
    await server.set_serving(True)
    address = f"127.0.0.1:{await server.start('127.0.0.1')}"
    async with peer(address) as hostile, grpc.aio.insecure_channel(address) as channel:
        hostile.take_nothing()
        stream = hostile.open("/grpc.health.v1.Health/Watch", body=framed(b""))

        async def reached() -> bool:
            return bool(hostile.answer_so_far(stream).headers)

        await eventually(reached)
        health: Any = health_pb2_grpc.HealthStub(channel)
        watching = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
        async with asyncio.timeout(5):
            await server.set_serving(False)
            assert (await watching.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            await server.stop(1)  # gRPC ends no call in the middle of a write, but for the end of the grace
