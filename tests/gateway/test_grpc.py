"""gRPC through the edge: calls, errors, health, reflection, and callers that do not disturb each other."""

import asyncio
import time
import uuid
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.type import money_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from retail.ingest.v1 import ingest_service_pb2 as ingest
from retail.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from retail.sales.v1 import sales_service_pb2 as sales
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceStub

from gateway.contracts import services
from mesh.error import from_rpc_error
from tests.eventually import eventually_sync
from tests.gateway.conftest import Edge

JOB = "6f1d9f3e-58b1-4f6b-9c38-0d6d3a1f2b11"
ENDLESS_JOB = JOB[:-1] + "0"


def record() -> sales.RecordSaleRequest:
    price = money_pb2.Money(currency_code="GBP", units=2, nanos=500_000_000)
    line = sales.SaleLine(stock_code="85123A", quantity=2, unit_price=price)
    return sales.RecordSaleRequest(sale=sales.Sale(country="France", lines=[line]), request_id=str(uuid.uuid4()))


async def test_a_call_passes_with_its_message_as_it_is(edge: Edge) -> None:
    async with edge.channel() as channel:
        stub = SalesServiceStub(channel)
        kept = (await stub.RecordSale(record())).sale
        assert kept.total == money_pb2.Money(currency_code="GBP", units=5)
        assert (await stub.GetSale(sales.GetSaleRequest(sale_id=kept.sale_id))).sale == kept


async def test_streams_of_both_kinds_pass(edge: Edge) -> None:
    async with edge.channel() as channel:
        stub = IngestServiceStub(channel)
        changes = [change async for change in stub.WatchJob(ingest.WatchJobRequest(job_id=JOB))]
        assert [change.job.progress_percent for change in changes] == [0, 50, 100]
        uploaded = await stub.UploadFiles(ingest.UploadFilesRequest(filename="a.csv") for _ in range(3))
        assert [file.filename for file in uploaded.files] == ["a.csv"]


async def test_a_caller_that_leaves_ends_the_stream_at_its_service(edge: Edge) -> None:
    before = len(edge.ingest.said("watch ended"))
    async with edge.channel() as channel:
        changes = IngestServiceStub(channel).WatchJob(ingest.WatchJobRequest(job_id=ENDLESS_JOB))
        await anext(aiter(changes))
        changes.cancel()
        eventually_sync(lambda: len(edge.ingest.said("watch ended")) == before + 1, 5)


async def test_details_of_an_error_pass(edge: Edge) -> None:
    request = record()
    request.sale.lines[0].quantity = 0
    async with edge.channel() as channel:
        with pytest.raises(grpc.RpcError) as failure:
            await SalesServiceStub(channel).RecordSale(request)
    said = from_rpc_error(failure.value)
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert [field for field, _ in said.fields] == ["sale.lines[0].quantity"]


async def test_a_deadline_passes(edge: Edge) -> None:
    start = time.monotonic()
    async with edge.channel() as channel:
        changes = IngestServiceStub(channel).WatchJob(ingest.WatchJobRequest(job_id=ENDLESS_JOB), timeout=0.5)
        with pytest.raises(grpc.RpcError) as failure:
            _ = [change async for change in changes]
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - start < 2


@pytest.mark.parametrize(
    ("path", "code", "reason"),
    [
        ("/retail.sales.v1.SalesService/Nothing", "UNIMPLEMENTED", ""),
        ("/retail.sales.v9.SalesService/GetSale", "UNIMPLEMENTED", ""),  # as a server itself says it
        ("/envoy.service.ext_proc.v3.ExternalProcessor/Process", "UNIMPLEMENTED", ""),
        ("/retail.search.v1.SearchService/SearchProducts", "UNAVAILABLE", "UNREACHABLE"),
    ],
)
async def test_what_nobody_answers_has_a_code_and_what_is_away_a_reason(
    edge: Edge, path: str, code: str, reason: str
) -> None:
    async with edge.channel() as channel:
        call: Any = channel.unary_unary(path)
        with pytest.raises(grpc.RpcError) as failure:
            await call(b"", timeout=5)
    assert failure.value.code().name == code
    said = from_rpc_error(failure.value)
    assert (said.code, said.reason) == (code, reason)


@pytest.mark.parametrize(("header", "value"), [("grpc-timeout", "bogus"), ("x-thing-bin", "!!!")])
async def test_a_malformed_header_of_one_caller_fails_no_other(edge: Edge, header: str, value: str) -> None:
    with edge.rest() as clumsy:
        async with edge.channel() as channel:
            stub = SalesServiceStub(channel)
            for _ in range(5):
                refused = asyncio.to_thread(clumsy.get, "/v1/sales", headers={header: value})
                calls = [stub.ListSales(sales.ListSalesRequest()) for _ in range(20)]
                assert (await refused).status_code in {400, 500}
                assert [await call.code() for call in calls] == [grpc.StatusCode.OK] * 20


async def test_health_is_told_of_each_service_by_both_its_names(edge: Edge) -> None:
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    expected = {
        "": serving,
        "sales": serving,
        "retail.sales.v1.SalesService": serving,
        "ingest": serving,
        "search": not_serving,
        "retail.search.v1.SearchService": not_serving,
    }
    async with edge.channel("") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        found = {name: (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status for name in expected}
        assert found == expected
        with pytest.raises(grpc.RpcError) as failure:
            await stub.Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND


def test_healthz_tells_whether_the_edge_can_serve_whatever_services_are_away(edge: Edge) -> None:
    url = f"http://{edge.address}/healthz"
    assert httpx.get(url).status_code == 200  # though there is no search
    with edge.stopped("gateway-1"):
        eventually_sync(lambda: httpx.get(url).status_code == 503, 5)
    eventually_sync(lambda: httpx.get(url).status_code == 200, 5)


def test_reflection_lists_and_describes_every_service_with_what_it_needs(edge: Edge) -> None:
    with grpc.insecure_channel(edge.address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        standard = {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
        assert standard | services().keys() <= set(database.get_services())
        pool = DescriptorPool(database)
        for service in services():
            described = pool.FindServiceByName(service)
            assert described.methods
            for method in described.methods:
                assert method.input_type.full_name
                assert method.output_type.full_name
