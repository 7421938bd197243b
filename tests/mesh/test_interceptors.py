"""The chain over a real channel: what a caller gets for each way to be refused, and what a handler gets."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from retail.ingest.v1 import ingest_service_pb2 as ingest
from retail.ingest.v1.ingest_service_pb2_grpc import IngestServiceServicer, IngestServiceStub
from retail.sales.v1 import sales_service_pb2 as sales
from retail.sales.v1.error_reason_pb2 import ErrorReason
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceServicer, SalesServiceStub

import mesh
from mesh.error import Described, from_rpc_error
from mesh.testing import Served, serving

SALE_ID = "6f1d9f3e-58b1-4f6b-9c38-0d6d3a1f2b11"
error = mesh.errors(ErrorReason)


class Sales(SalesServiceServicer):
    """Does what the sale id tells it to."""

    def __init__(self) -> None:
        self.callers: list[mesh.Caller | None] = []
        self.cancelled = asyncio.Event()

    async def GetSale(self, request: Any, context: Any) -> sales.GetSaleResponse:
        self.callers.append(mesh.caller())
        if request.sale_id.endswith("0"):
            raise error(ErrorReason.ERROR_REASON_SALE_NOT_FOUND, sale_id=request.sale_id, retry_after=1.5)
        if request.sale_id.endswith("1"):
            raise ValueError("the secret cause")
        if request.sale_id.endswith("2"):
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
        if request.sale_id.endswith("3"):
            await context.abort(grpc.StatusCode.ABORTED, "by itself", (("own", "trailer"),))
        return sales.GetSaleResponse(sale=sales.Sale(sale_id=request.sale_id))

    async def RecordSale(self, request: Any, context: Any) -> sales.RecordSaleResponse:
        raise NotImplementedError

    async def ListSales(self, request: Any, context: Any) -> sales.ListSalesResponse:
        return sales.ListSalesResponse()


class Ingest(IngestServiceServicer):
    """Streams both ways."""

    closed = False

    async def UploadFiles(self, request_iterator: AsyncIterator[Any], context: Any) -> ingest.UploadFilesResponse:
        return ingest.UploadFilesResponse(
            files=[ingest.File(filename=request.filename) async for request in request_iterator]
        )

    async def WatchJob(self, request: Any, context: Any) -> AsyncIterator[ingest.WatchJobResponse]:
        try:
            for percent in range(3):
                yield ingest.WatchJobResponse(job=ingest.Job(progress_percent=percent))
            if request.job_id.endswith("2"):
                await asyncio.Event().wait()
        finally:
            Ingest.closed = True

    CreateJob = GetJob = ListJobs = CancelJob = ListQuarantinedRows = None  # type: ignore[assignment]


@pytest.fixture
async def servicer() -> Sales:
    return Sales()


@pytest.fixture
async def server(servicer: Sales) -> AsyncIterator[Served]:
    async with serving(servicer, Ingest()) as served:
        yield served


def sale_id(last: int) -> str:
    return SALE_ID[:-1] + str(last)


async def refused(server: Served, token: str | None, last: int = 9) -> Described:
    async with server.channel_with(token) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await SalesServiceStub(channel).GetSale(sales.GetSaleRequest(sale_id=sale_id(last)))
    return from_rpc_error(failure.value)


async def test_a_valid_token_reaches_the_handler_as_its_caller(server: Served, servicer: Sales) -> None:
    async with server.channel({"sales.read"}, subject="ada") as channel:
        answer = await SalesServiceStub(channel).GetSale(sales.GetSaleRequest(sale_id=sale_id(9)))
    assert answer.sale.sale_id == sale_id(9)
    [caller] = servicer.callers
    assert caller is not None
    assert (caller.subject, caller.permissions) == ("ada", frozenset({"sales.read"}))
    assert caller.token not in repr(caller)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"claims": {"exp": 1}}, "TOKEN_EXPIRED"),
        ({"claims": {"iss": "https://other.test"}}, "TOKEN_INVALID"),
        ({"claims": {"aud": "another"}}, "TOKEN_INVALID"),
        ({"claims": {"sub": None}}, "TOKEN_INVALID"),
        ({"header": {"typ": "JWT"}}, "TOKEN_INVALID"),
        ({"header": {"kid": "unknown"}}, "TOKEN_INVALID"),
    ],
)
async def test_a_wrong_token_is_refused(
    server: Served, servicer: Sales, changes: dict[str, dict[str, Any]], reason: str
) -> None:
    token = server.issuer.token(permissions={"sales.read"}, **changes)  # type: ignore[arg-type]
    got = await refused(server, token)
    assert (got.code, got.reason, got.domain) == ("UNAUTHENTICATED", reason, "mesh.v1")
    assert servicer.callers == []


async def test_a_forged_token_is_refused(server: Served) -> None:
    token = server.issuer.token(permissions={"sales.read"})
    header, payload, signature = token.split(".")
    forged = f"{header}.{payload}.{signature[:10]}{'A' if signature[10] != 'A' else 'B'}{signature[11:]}"
    assert (await refused(server, forged)).reason == "TOKEN_INVALID"
    assert (await refused(server, "no.token")).reason == "TOKEN_INVALID"
    assert (await refused(server, None)).reason == "TOKEN_MISSING"


async def test_new_keys_forget_what_the_old_ones_verified(server: Served) -> None:
    token = server.issuer.token(permissions={"sales.read"})
    async with server.channel_with(token) as channel:
        await SalesServiceStub(channel).GetSale(sales.GetSaleRequest(sale_id=sale_id(9)))
    server.keys.replace(type(server.issuer)().published())
    assert (await refused(server, token)).reason == "TOKEN_INVALID"


async def test_a_missing_permission_is_named(server: Served) -> None:
    got = await refused(server, server.issuer.token(permissions={"sales.write"}))
    assert (got.code, got.reason, got.metadata) == (
        "PERMISSION_DENIED",
        "PERMISSION_MISSING",
        {"permission": "sales.read"},
    )


async def test_a_rule_of_the_contract_names_the_field(server: Served) -> None:
    request = sales.RecordSaleRequest(request_id="no uuid", sale=sales.Sale(country="France"))
    request.sale.lines.add(stock_code="85123A", quantity=0)
    async with server.channel({"sales.write"}) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await SalesServiceStub(channel).RecordSale(request)
    got = from_rpc_error(failure.value)
    assert (got.code, got.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert {path for path, _ in got.fields} == {"request_id", "sale.lines[0].quantity", "sale.lines[0].unit_price"}


async def test_an_error_of_the_contract_carries_its_details(server: Served) -> None:
    got = await refused(server, server.issuer.token(permissions={"sales.read"}), last=0)
    assert got == Described(
        code="NOT_FOUND",
        message=f"There is no sale {sale_id(0)}",
        reason="SALE_NOT_FOUND",
        domain="retail.sales.v1",
        metadata={"sale_id": sale_id(0)},
        retry_after=1.5,
    )


async def test_a_defect_tells_its_cause_to_the_log_alone(server: Served, caplog: pytest.LogCaptureFixture) -> None:
    got = await refused(server, server.issuer.token(permissions={"sales.read"}), last=1)
    assert (got.code, got.reason) == ("INTERNAL", "INTERNAL")
    assert "secret" not in str(got)
    assert "the secret cause" in caplog.text
    assert got.metadata["error_id"] in caplog.text


async def test_what_the_handler_ended_itself_stays_as_it_was(server: Served) -> None:
    async with server.channel({"sales.read", "sales.write"}) as channel:
        stub = SalesServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await stub.GetSale(sales.GetSaleRequest(sale_id=sale_id(3)))
        assert (failure.value.code(), failure.value.details()) == (grpc.StatusCode.ABORTED, "by itself")
        assert ("own", "trailer") in tuple(failure.value.trailing_metadata())
        unknown: Any = channel.unary_unary("/retail.sales.v1.SalesService/Nothing")
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await unknown(b"")
        assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_call_without_a_deadline_gets_the_contracts(
    server: Served, servicer: Sales, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = server.issuer.token(permissions={"sales.read"})
    async with grpc.aio.insecure_channel(server.address) as bare:  # no interceptor of ours sets one
        started = time.monotonic()
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await SalesServiceStub(bare).GetSale(
                sales.GetSaleRequest(sale_id=sale_id(2)), metadata=(("authorization", f"Bearer {token}"),)
            )
    assert from_rpc_error(failure.value).reason == "DEADLINE_EXCEEDED"
    assert 4.5 < time.monotonic() - started < 8  # GetSale says 5 s
    assert servicer.cancelled.is_set()


async def test_streams_pass_and_end_with_their_call(server: Served) -> None:
    async with server.channel({"files.write", "jobs.read"}) as channel:
        stub = IngestServiceStub(channel)

        async def requests() -> AsyncIterator[ingest.UploadFilesRequest]:
            for name in ("a.csv", "b.csv"):
                yield ingest.UploadFilesRequest(filename=name)

        answer = await stub.UploadFiles(requests())
        assert [file.filename for file in answer.files] == ["a.csv", "b.csv"]

        call = stub.WatchJob(ingest.WatchJobRequest(job_id=sale_id(9)))
        assert [response.job.progress_percent async for response in call] == [0, 1, 2]

        async def bad() -> AsyncIterator[ingest.UploadFilesRequest]:
            yield ingest.UploadFilesRequest(filename="a\nb")

        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await stub.UploadFiles(bad())
        assert from_rpc_error(failure.value).fields[0][0] == "filename"
