"""What a call leaves behind: figures by the status that its caller got, a trace with its edges, and log lines."""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from prometheus_client import REGISTRY
from retail.ingest.v1 import ingest_service_pb2 as ingest
from retail.ingest.v1.ingest_service_pb2_grpc import IngestServiceServicer, IngestServiceStub
from retail.sales.v1 import sales_service_pb2 as sales
from retail.sales.v1.error_reason_pb2 import ErrorReason
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceServicer, SalesServiceStub

import mesh
from mesh.live.settings import Live, LiveSettings
from mesh.telemetry import calls
from mesh.telemetry.traces import Span
from mesh.telemetry.tracing import carried, continued
from mesh.testing import Served, serving
from tests.eventually import eventually
from tests.hostile.peer import peer
from tests.telemetry.conftest import Spans

SERVICE = "retail.sales.v1.SalesService"
SALE_ID = "6f1d9f3e-58b1-4f6b-9c38-0d6d3a1f2b1"
error = mesh.errors(ErrorReason)
log = mesh.logger(__name__)


class Sales(SalesServiceServicer):
    """Ends GetSale as the last digit of the sale id says; ListSales calls GetSale."""

    def __init__(self) -> None:
        self.served: Served | None = None
        self.begun = asyncio.Event()
        self.attempts = 0

    async def GetSale(self, request: Any, context: Any) -> sales.GetSaleResponse:
        log.info("working", password="hunter2")
        self.begun.set()
        match request.sale_id[-1]:
            case "1":
                raise error(ErrorReason.ERROR_REASON_SALE_NOT_FOUND, sale_id=request.sale_id)
            case "2":
                raise ValueError("a defect")
            case "3":
                await context.abort(grpc.StatusCode.ABORTED, "by itself")
            case "4":
                context.set_code(grpc.StatusCode.DATA_LOSS)
            case "5":
                await asyncio.Event().wait()
            case "6":
                context.set_code(9)  # gRPC takes numbers too
            case "7":
                self.attempts += 1
                if self.attempts == 1:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        return sales.GetSaleResponse()

    async def ListSales(self, request: Any, context: Any) -> sales.ListSalesResponse:
        assert self.served is not None
        async with self.served.channel({"sales.read"}) as channel:
            await SalesServiceStub(channel).GetSale(sales.GetSaleRequest(sale_id=SALE_ID + "0"))
        return sales.ListSalesResponse()

    RecordSale = None  # type: ignore[assignment]


class Ingest(IngestServiceServicer):
    async def WatchJob(self, request: Any, context: Any) -> AsyncIterator[ingest.WatchJobResponse]:
        for percent in range(3):
            yield ingest.WatchJobResponse(job=ingest.Job(progress_percent=percent))

    CreateJob = GetJob = ListJobs = CancelJob = ListQuarantinedRows = UploadFiles = None  # type: ignore[assignment]


@pytest.fixture
def servicer() -> Sales:
    return Sales()


@pytest.fixture
async def server(servicer: Sales) -> AsyncIterator[Served]:
    async with serving(servicer, Ingest(), live=Live(LiveSettings(trace_ratio=0.0))) as served:
        servicer.served = served
        yield served


def traceparent(*, sampled: bool) -> tuple[str, str]:
    """A trace that a caller has begun: its id, and the header."""
    trace_id = f"{random.getrandbits(128) | 1:032x}"
    return trace_id, f"00-{trace_id}-00f067aa0ba902b7-{'01' if sampled else '00'}"


def count(code: str, method: str = "GetSale") -> float:
    labels = {"service": SERVICE, "method": method, "code": code}
    return REGISTRY.get_sample_value("mesh_server_calls_total", labels) or 0


def active() -> float | None:
    return REGISTRY.get_sample_value("mesh_server_calls_active", {"service": SERVICE, "method": "GetSale"})


async def get_sale(server: Served, last: str = "0", *, token: bool = True, **options: Any) -> None:
    async with server.channel({"sales.read"} if token else None) as channel:
        with contextlib.suppress(grpc.aio.AioRpcError):
            await SalesServiceStub(channel).GetSale(sales.GetSaleRequest(sale_id=SALE_ID + last), **options)


@pytest.mark.parametrize(
    ("last", "options", "code"),
    [
        ("0", {}, "OK"),
        ("1", {}, "NOT_FOUND"),
        ("2", {}, "INTERNAL"),
        ("3", {}, "ABORTED"),
        ("4", {}, "DATA_LOSS"),
        ("5", {"timeout": 0.2}, "DEADLINE_EXCEEDED"),
        ("6", {}, "FAILED_PRECONDITION"),
        ("x", {}, "INVALID_ARGUMENT"),
        ("0", {"token": False}, "UNAUTHENTICATED"),
    ],
)
async def test_a_call_is_counted_and_traced_by_the_status_sent(
    server: Served, spans: Spans, last: str, options: dict[str, Any], code: str
) -> None:
    trace_id, header = traceparent(sampled=True)
    before = count(code)
    await get_sale(server, last, metadata=(("traceparent", header),), **options)

    async def counted() -> bool:
        return count(code) == before + 1 and active() == 0

    await eventually(counted)
    [span] = spans(trace_id)
    assert (span.kind, span.name, span.parent_id) == ("server", f"/{SERVICE}/GetSale", "00f067aa0ba902b7")
    assert span.attributes["rpc.grpc.status_code"] == grpc.StatusCode[code].value[0]
    assert span.failed is (code in {"INTERNAL", "DATA_LOSS", "DEADLINE_EXCEEDED"})  # the server's fault


async def test_a_call_that_its_caller_gave_up_is_counted_as_cancelled(
    server: Served, servicer: Sales, spans: Spans
) -> None:
    trace_id, header = traceparent(sampled=True)
    before = count("CANCELLED")
    calling = asyncio.create_task(get_sale(server, "5", metadata=(("traceparent", header),)))
    await servicer.begun.wait()
    assert active() == 1
    calling.cancel()

    async def counted() -> bool:
        return count("CANCELLED") == before + 1 and active() == 0

    await eventually(counted)
    [span] = spans(trace_id)
    assert span.attributes["rpc.grpc.status_code"] == grpc.StatusCode.CANCELLED.value[0]


async def list_sales(server: Served, *metadata: tuple[str, str]) -> None:
    async with server.channel({"sales.read"}) as channel:
        await SalesServiceStub(channel).ListSales(sales.ListSalesRequest(), metadata=metadata)


def edges(found: list[Span]) -> list[tuple[str, str, str]]:
    """Kind and method of each span with the kind and method of its parent."""
    by_id = {span.span_id: span for span in found}

    def said(span: Span | None) -> str:
        return "" if span is None else f"{span.kind} {span.name.rpartition('/')[2]}"

    return [(said(by_id.get(span.parent_id)), "->", said(span)) for span in found]


async def test_a_trace_goes_on_from_call_to_call(server: Served, spans: Spans) -> None:
    trace_id, header = traceparent(sampled=True)
    await list_sales(server, ("traceparent", header), ("x-request-id", "request-7"))
    found = spans(trace_id)
    assert edges(found) == [
        ("", "->", "server ListSales"),
        ("server ListSales", "->", "client GetSale"),
        ("client GetSale", "->", "server GetSale"),
    ]
    assert [span.attributes.get("mesh.request_id") for span in found] == ["request-7", None, "request-7"]


async def test_each_attempt_of_a_call_has_its_own_edge(server: Served, spans: Spans) -> None:
    trace_id, header = traceparent(sampled=True)
    with continued({"traceparent": header}, "a job"):
        await get_sale(server, "7")
    found = spans(trace_id)
    assert edges(found) == [
        ("", "->", "consumer a job"),
        ("consumer a job", "->", "client GetSale"),
        ("client GetSale", "->", "server GetSale"),
        ("consumer a job", "->", "client GetSale"),
        ("client GetSale", "->", "server GetSale"),
    ]
    assert [span.failed for span in found] == [False, True, True, False, False]


async def test_what_the_caller_does_not_record_nobody_records(server: Served, spans: Spans) -> None:
    server.live.current = LiveSettings(trace_ratio=1.0)
    trace_id, header = traceparent(sampled=False)
    await list_sales(server, ("traceparent", header))
    assert spans(trace_id) == []


@pytest.mark.parametrize(
    "header", ["", "00-zz-01", "ff-" + "1" * 32 + "-" + "1" * 16 + "-01", "00-" + "0" * 32 + "-" + "1" * 16 + "-01"]
)
async def test_where_no_trace_came_one_begins_as_often_as_the_settings_say(
    server: Served, caplog: pytest.LogCaptureFixture, spans: Spans, header: str
) -> None:
    caplog.set_level(logging.INFO)
    metadata = (("traceparent", header),) if header else ()
    for ratio, expected in ((1.0, 3), (0.0, 0)):
        server.live.current = LiveSettings(trace_ratio=ratio)
        caplog.clear()
        await list_sales(server, *metadata)
        [line] = lines(caplog, "working")
        assert len(spans(line["trace_id"])) == expected


async def test_streams_are_traced_to_their_end(server: Served, spans: Spans) -> None:
    trace_id, header = traceparent(sampled=True)
    with continued({"traceparent": header}, "a job"):
        async with server.channel({"jobs.read"}) as channel:
            call = IngestServiceStub(channel).WatchJob(ingest.WatchJobRequest(job_id=SALE_ID + "0"))
            assert [response.job.progress_percent async for response in call] == [0, 1, 2]

    async def ended() -> bool:
        return len(spans(trace_id)) == 3

    await eventually(ended)
    assert edges(spans(trace_id)) == [
        ("", "->", "consumer a job"),
        ("consumer a job", "->", "client WatchJob"),
        ("client WatchJob", "->", "server WatchJob"),
    ]


def lines(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    return [record.msg for record in caplog.records if isinstance(record.msg, dict) and record.msg["event"] == event]


@pytest.mark.parametrize("sampled", [True, False])
async def test_every_line_of_a_call_names_it(server: Served, caplog: pytest.LogCaptureFixture, sampled: bool) -> None:
    caplog.set_level(logging.INFO)
    trace_id, header = traceparent(sampled=sampled)
    await list_sales(server, ("traceparent", header), ("x-request-id", "request-7"))
    [line] = lines(caplog, "working")
    assert (line["trace_id"], line["request_id"], line["method"]) == (trace_id, "request-7", f"/{SERVICE}/GetSale")
    assert line["password"] == "[redacted]"


async def test_ids_that_nobody_brought_are_the_same_in_every_line(
    server: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await get_sale(server, "2")
    [working], [defect] = lines(caplog, "working"), lines(caplog, "defect")
    assert len(working["trace_id"]) == len(working["request_id"]) == 32
    assert (working["trace_id"], working["request_id"]) == (defect["trace_id"], defect["request_id"])


@pytest.mark.parametrize("header", ["x-request-id", "traceparent"])
async def test_a_header_that_cannot_be_passed_on_is_not(
    server: Served, caplog: pytest.LogCaptureFixture, header: str
) -> None:
    caplog.set_level(logging.INFO)
    value = {"x-request-id": "\u00fc", "traceparent": f"{traceparent(sampled=False)[1]}-\u00fc"}[header]
    token = server.issuer.token(permissions={"sales.read"})
    async with peer(server.address) as clumsy:
        headers = [("authorization", f"Bearer {token}"), (header, value)]
        answer = await clumsy.call(f"/{SERVICE}/ListSales", headers, sales.ListSalesRequest().SerializeToString())
    assert answer.status is grpc.StatusCode.OK
    [line] = lines(caplog, "working")  # of the call that was made for it
    assert "\u00fc" not in line["request_id"] + line["trace_id"]


async def test_a_call_that_fails_by_the_servers_fault_has_one_line(
    server: Served, caplog: pytest.LogCaptureFixture
) -> None:
    await get_sale(server, "4")
    [line] = lines(caplog, "call failed")
    assert (line["code"], line["method"]) == ("DATA_LOSS", f"/{SERVICE}/GetSale")
    for last in "0123":
        await get_sale(server, last)
    assert len(lines(caplog, "call failed")) == 1


async def test_a_message_carries_its_trace_to_who_takes_it_up(spans: Spans, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    trace_id, header = traceparent(sampled=True)
    with continued({"traceparent": header, "x-request-id": "request-7"}, "sender"):
        message = carried()
    assert calls.current.get() is None
    with continued(message, "receiver"):
        log.info("taken up")
    [line] = lines(caplog, "taken up")
    assert (line["trace_id"], line["request_id"], line["method"]) == (trace_id, "request-7", "receiver")
    sender, receiver = spans(trace_id)
    assert (sender.name, receiver.name, receiver.parent_id) == ("sender", "receiver", sender.span_id)


def test_an_unsampled_message_carries_its_ids_alone() -> None:
    assert carried() == {}
    _, header = traceparent(sampled=False)
    with continued({"traceparent": header}, "sender"):
        message = carried()
    assert message["traceparent"] == header
    with continued(message, "receiver"):
        assert carried() == message
    with continued({"traceparent": "nonsense"}, "receiver"):
        assert carried()["traceparent"].endswith("-00")
