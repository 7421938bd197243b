"""The database away, stuck or busy, and callers that give up: nothing is lost, nothing leaks."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import asyncpg
import grpc
import pytest
import pytest_asyncio
from prometheus_client import REGISTRY
from retail.sales.v1 import sales_service_pb2 as pb
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceStub
from sqlalchemy import text

from mesh.local import running
from mesh.testing import Served
from services.database import Database, DatabaseSettings
from tests.calls import refused
from tests.databases import Postgres
from tests.eventually import eventually
from tests.sales.selling import PERMISSIONS, recording, serving_sales, settings

POOL_SIZE = 5


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running(["postgres"]) as stack:
        yield Postgres(stack)


@pytest_asyncio.fixture(scope="module")
async def service(postgres: Postgres) -> AsyncIterator[tuple[Served, Database]]:
    async with serving_sales(settings(postgres.url, POOL_SIZE)) as service:
        yield service


@pytest.fixture
def database(service: tuple[Served, Database]) -> Database:
    return service[1]


async def settled(database: Database) -> None:
    async def none_in_use() -> bool:
        return database.connections_in_use == 0

    await eventually(none_in_use)


class Caller:
    """A careful one: repeats the same request as long as it is told to."""

    def __init__(self, sales: SalesServiceStub) -> None:
        self._sales = sales
        self.kept: list[pb.Sale] = []
        self.refusals: list[grpc.StatusCode] = []

    async def record(self, request: pb.RecordSaleRequest) -> None:
        async def kept() -> bool:
            try:
                self.kept.append((await self._sales.RecordSale(request)).sale)
            except grpc.aio.AioRpcError as failure:
                self.refusals.append(failure.code())
                return False
            return True

        await eventually(kept, timeout=20)

    async def record_each(self, requests: list[pb.RecordSaleRequest]) -> None:
        for request in requests:
            await self.record(request)


CALLS = [
    ("RecordSale", recording()),
    ("GetSale", pb.GetSaleRequest(sale_id=str(uuid4()))),
    ("ListSales", pb.ListSalesRequest()),
]


async def test_without_its_database_the_service_says_when_to_come_back(
    postgres: Postgres, sales: SalesServiceStub, database: Database
) -> None:
    request = recording()
    before = (await sales.RecordSale(request)).sale
    await asyncio.to_thread(postgres.stop)
    for name, message in CALLS:
        refusal = await refused(getattr(sales, name)(message))
        assert (refusal.code, refusal.reason, refusal.retry_after) == ("UNAVAILABLE", "STORE_UNAVAILABLE", 1.0)
    postgres.start()
    await postgres.ready()
    assert (await sales.RecordSale(request)).sale == before
    await settled(database)


def unavailable() -> float:
    """How many times the service has answered RecordSale so."""
    labels = {"service": "retail.sales.v1.SalesService", "method": "RecordSale", "code": "UNAVAILABLE"}
    return REGISTRY.get_sample_value("mesh_server_calls_total", labels) or 0.0


async def test_no_sale_is_lost_or_doubled_while_the_database_restarts(
    postgres: Postgres, sales: SalesServiceStub, database: Database
) -> None:
    requests = [recording(customer_id="restarts") for _ in range(150)]
    caller, before = Caller(sales), unavailable()
    selling = asyncio.gather(*(caller.record_each(requests[start::6]) for start in range(6)))
    for count in (30, 75):

        async def recorded(count: int = count) -> bool:
            return len(caller.kept) >= count

        await eventually(recorded, interval=0.001)
        await asyncio.to_thread(postgres.stop)
        postgres.start()
    await selling
    assert unavailable() > before  # the restarts were felt, whether or not a retry kept it from the caller
    assert set(caller.refusals) <= {grpc.StatusCode.UNAVAILABLE}
    answer = await sales.ListSales(pb.ListSalesRequest(filter="customer_id = restarts", page_size=500))
    assert sorted(sale.sale_id for sale in answer.sales) == sorted(sale.sale_id for sale in caller.kept)
    assert len({sale.sale_id for sale in caller.kept}) == len(requests)
    await settled(database)


async def test_a_database_that_is_stuck_costs_a_call_its_deadline_and_no_connection(
    postgres: Postgres, sales: SalesServiceStub, database: Database
) -> None:
    await sales.RecordSale(recording())
    postgres.freeze(True)
    try:
        calls = [sales.RecordSale(recording(), timeout=0.5) for _ in range(3 * POOL_SIZE)]
        for failure in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(failure, grpc.aio.AioRpcError)
            assert failure.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await settled(database)
    finally:
        postgres.freeze(False)
    await asyncio.gather(*(sales.RecordSale(recording(), timeout=5) for _ in range(3 * POOL_SIZE)))


@pytest.mark.parametrize("seed", range(3))
async def test_callers_that_give_up_leak_no_connection(
    sales: SalesServiceStub, database: Database, postgres: Postgres, seed: int
) -> None:
    moments = random.Random(seed)
    again = recording()
    given_up = 0
    for _ in range(12):
        hasty = [
            asyncio.ensure_future(call)
            for _ in range(10)
            for call in (
                sales.RecordSale(recording()),
                sales.RecordSale(again),
                sales.ListSales(pb.ListSalesRequest(page_size=5)),
            )
        ]
        for call in hasty:
            asyncio.get_running_loop().call_later(moments.uniform(0, 0.03), call.cancel)
        await sales.RecordSale(recording())  # among them one that waits
        await asyncio.wait(hasty)
        given_up += sum(call.cancelled() for call in hasty)
    assert given_up > 100
    await settled(database)
    await asyncio.gather(*(sales.RecordSale(recording()) for _ in range(3 * POOL_SIZE)))
    await settled(database)
    server = await asyncpg.connect(postgres.url)

    async def as_many_on_the_other_side() -> bool:
        """What was given up is gone; the others wait for work, outside of a transaction."""
        rows = await server.fetch("SELECT state FROM pg_stat_activity WHERE application_name = 'sales'")
        return len(rows) <= POOL_SIZE and {row["state"] for row in rows} == {"idle"}

    await eventually(as_many_on_the_other_side)
    await server.close()


async def test_a_busy_pool_is_unavailable_after_a_while_and_not_for_ever(postgres: Postgres) -> None:
    small = DatabaseSettings(settings(postgres.url).url, pool_size=1, pool_wait_seconds=0.2)
    async with serving_sales(small) as (server, database), server.channel(PERMISSIONS) as channel:
        sales = SalesServiceStub(channel)
        async with database.transaction() as connection:
            await connection.execute(text("SELECT 1"))
            for name, message in CALLS:
                refusal = await refused(getattr(sales, name)(message))
                assert (refusal.reason, refusal.retry_after) == ("STORE_UNAVAILABLE", 1.0)
        await sales.RecordSale(recording())


async def test_waiting_for_a_lock_ends_with_the_call(
    postgres: Postgres, sales: SalesServiceStub, database: Database
) -> None:
    connection = await asyncpg.connect(postgres.url)
    async with connection.transaction():
        await connection.execute("LOCK TABLE sales.request")
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await sales.RecordSale(recording(), timeout=0.3)
        assert refusal.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await settled(database)
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sales' AND state = 'active'"

        async def given_up() -> bool:
            return bool(await connection.fetchval(waiting) == 0)

        await eventually(given_up)
    await connection.close()
    await sales.RecordSale(recording())
