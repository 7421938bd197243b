"""What `mesh.connect` adds to a call, and where it has gRPC look for control planes."""

import asyncio
from typing import Any

import grpc
import pytest
from retail.sales.v1 import sales_service_pb2 as sales
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceServicer, SalesServiceStub

from mesh import contract
from mesh.callers import current, request_id
from mesh.client import MeshChannel, xds_bootstrap
from mesh.settings import MeshSettings
from mesh.testing import Served, serving

SALE_ID = "6f1d9f3e-58b1-4f6b-9c38-0d6d3a1f2b11"


class Sales(SalesServiceServicer):
    """Keeps what came with each call, and passes GetSale on to itself as ListSales."""

    def __init__(self) -> None:
        self.address = ""
        self.remaining: list[float] = []
        self.tokens: list[str] = []
        self.request_ids: list[str] = []

    def _keep(self, context: Any) -> None:
        self.remaining.append(context.time_remaining())
        self.tokens += [str(value) for key, value in context.invocation_metadata() if key == "authorization"]
        self.request_ids += [str(value) for key, value in context.invocation_metadata() if key == "x-request-id"]

    async def GetSale(self, request: Any, context: Any) -> sales.GetSaleResponse:
        self._keep(context)
        async with MeshChannel(grpc.aio.insecure_channel(self.address), self.address) as channel:
            await SalesServiceStub(channel).ListSales(sales.ListSalesRequest())
        return sales.GetSaleResponse()

    async def ListSales(self, request: Any, context: Any) -> sales.ListSalesResponse:
        self._keep(context)
        return sales.ListSalesResponse()

    RecordSale = None  # type: ignore[assignment]


async def call(server: Served, **options: Any) -> None:
    async with server.channel({"sales.read"}) as channel:
        await SalesServiceStub(channel).GetSale(sales.GetSaleRequest(sale_id=SALE_ID), **options)


async def test_a_call_has_its_own_deadline_or_its_contracts() -> None:
    servicer = Sales()
    async with serving(servicer) as server:
        servicer.address = server.address
        await call(server)
        await call(server, timeout=1.5)
    default = contract.method("/retail.sales.v1.SalesService/GetSale").default_deadline_seconds
    rounding = 0.1  # on the wire
    assert default - 1 < servicer.remaining[0] <= default + rounding
    assert 0.5 < servicer.remaining[2] <= 1.5 + rounding


async def test_the_token_of_the_call_being_served_is_carried_on() -> None:
    servicer = Sales()
    async with serving(servicer) as server:
        servicer.address = server.address
        await asyncio.gather(*(call(server) for _ in range(5)))
    assert len(servicer.tokens) == 10
    assert all(servicer.tokens.count(token) == 2 for token in servicer.tokens)
    assert current.get() is None


async def test_a_token_of_the_call_itself_stands() -> None:
    servicer = Sales()
    async with serving(servicer) as server:
        own = f"Bearer {server.issuer.token(permissions={'sales.read'})}"
        async with server.channel_with("another") as channel:
            await SalesServiceStub(channel).ListSales(sales.ListSalesRequest(), metadata=(("authorization", own),))
    assert servicer.tokens == [own]


async def test_what_a_call_makes_ends_before_it() -> None:
    servicer = Sales()
    async with serving(servicer) as server:
        servicer.address = server.address
        await call(server, timeout=2)
    outer, inner = servicer.remaining
    rounding = 0.01  # on the wire
    assert inner <= outer * 0.95 + rounding


async def test_a_request_id_is_carried_on_if_there_is_one() -> None:
    servicer = Sales()
    async with serving(servicer) as server, server.channel({"sales.read"}) as channel:
        stub = SalesServiceStub(channel)
        await stub.ListSales(sales.ListSalesRequest())
        assert servicer.request_ids == []
        token = request_id.set("r-1")
        try:
            await stub.ListSales(sales.ListSalesRequest())
            await stub.ListSales(sales.ListSalesRequest(), metadata=(("x-request-id", "r-2"),))
        finally:
            request_id.reset(token)
    assert servicer.request_ids == ["r-1", "r-2"]


@pytest.mark.parametrize(
    ("servers", "targets"),
    [
        ("127.0.0.1:18000", ["ipv4:127.0.0.1:18000"]),
        ("127.0.0.1:18000,10.0.0.2:18001", ["ipv4:127.0.0.1:18000,10.0.0.2:18001"]),
        ("control.mesh:18000", ["control.mesh:18000"]),
        ("one.mesh:1,two.mesh:2", ["one.mesh:1", "two.mesh:2"]),
    ],
)
def test_control_planes_at_addresses_are_one_server_to_grpc(servers: str, targets: list[str]) -> None:
    bootstrap = xds_bootstrap(MeshSettings.from_environment({"MESH_XDS_SERVERS": servers, "MESH_INSTANCE": "sales-1"}))
    assert [server["server_uri"] for server in bootstrap["xds_servers"]] == targets
    assert bootstrap["node"] == {"id": "sales-1"}
