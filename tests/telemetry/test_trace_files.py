"""Where spans go: to a file of bounded size that its owner alone can read, or to a collector."""

import asyncio
import contextlib
import json
import stat
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from gateway.tracing import Spans, receiving
from mesh.server import Server
from mesh.telemetry import traces
from mesh.telemetry.trace_files import TraceFile
from mesh.telemetry.tracing import ENDPOINT, provided
from tests.eventually import eventually

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


def request(name: str = "work", trace_id: str = TRACE_ID, **attributes: str) -> ExportTraceServiceRequest:
    """One span."""
    made = ExportTraceServiceRequest()
    span = (
        made.resource_spans.add()
        .scope_spans.add()
        .spans.add(
            trace_id=bytes.fromhex(trace_id),
            span_id=bytes.fromhex("00f067aa0ba902b7"),
            name=name,
            kind=2,
            start_time_unix_nano=1_000_000,
            end_time_unix_nano=3_500_000,
        )
    )
    for key, value in attributes.items():
        span.attributes.add(key=key).value.string_value = value
    return made


def test_a_span_is_read_as_it_was_written(tmp_path: Path) -> None:
    TraceFile(tmp_path, "sales-1").write(request(region="north"))
    [trace] = traces.read(tmp_path)
    [span] = trace.spans
    assert (trace.trace_id, span.span_id, span.parent_id) == (TRACE_ID, "00f067aa0ba902b7", "")
    assert (span.name, span.kind, span.milliseconds, span.attributes) == ("work", "server", 2.5, {"region": "north"})


def test_a_file_is_its_owners_and_holds_no_secret(tmp_path: Path) -> None:
    file = TraceFile(tmp_path, "sales-1")
    file.write(request(header="Bearer abcdefgh12345678"))
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert "abcdefgh" not in file.path.read_text()


def test_files_are_bounded_and_the_latest_spans_stay(tmp_path: Path) -> None:
    file = TraceFile(tmp_path, "sales-1", file_bytes=2000)
    for number in range(100):
        file.write(request(f"work {number}", f"{number + 1:032x}"))
    assert sum(path.stat().st_size for path in (tmp_path / traces.FOLDER).iterdir()) <= 4000
    names = {span.name for trace in traces.read(tmp_path) for span in trace.spans}
    assert {"work 99", "work 98", "work 97", "work 96", "work 95"} <= names
    assert "work 1" not in names


def test_a_torn_line_spoils_no_other(tmp_path: Path) -> None:
    file = TraceFile(tmp_path, "sales-1")
    file.write(request("before"))
    with file.path.open("a") as torn:
        torn.write('{"resourceSpans": [{"resou\n')
    file.write(request("after", "1" * 32))
    assert {span.name for trace in traces.read(tmp_path) for span in trace.spans} == {"before", "after"}


@contextlib.asynccontextmanager
async def collector() -> AsyncIterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """A receiver of OTLP: its endpoint, and what has come."""
    came: list[ExportTraceServiceRequest] = []

    async def keep(each: ExportTraceServiceRequest) -> None:
        came.append(each)

    server = Server(Spans(keep), require_contract=False)
    port = await server.start("127.0.0.1")
    try:
        yield f"http://127.0.0.1:{port}", came
    finally:
        await server.stop(None)


def names(came: Sequence[ExportTraceServiceRequest]) -> list[str]:
    return [s.name for each in came for r in each.resource_spans for scope in r.scope_spans for s in scope.spans]


async def test_spans_go_to_a_collector_where_the_environment_names_one(tmp_path: Path) -> None:
    async with collector() as (endpoint, came):
        provider = provided("sales", "sales-1", {ENDPOINT: endpoint, "MESH_RUN_DIR": str(tmp_path)})
        assert provider is not None
        with provider.get_tracer("tests").start_as_current_span("work"):
            pass
        await asyncio.to_thread(provider.shutdown)
    assert names(came) == ["work"]
    told = {pair.key: pair.value.string_value for pair in came[0].resource_spans[0].resource.attributes}
    assert (told["service.name"], told["service.instance.id"]) == ("sales", "sales-1")
    assert list(tmp_path.iterdir()) == []


def test_without_a_place_there_are_no_spans() -> None:
    assert provided("sales", "sales-1", {}) is None


async def export(spans: Spans) -> None:
    """Sends one span as Envoy does."""
    server = Server(spans, require_contract=False)
    port = await server.start("127.0.0.1")
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub: Any = TraceServiceStub(channel)  # type: ignore[no-untyped-call]
            await stub.Export(request("ingress"))
    finally:
        await server.stop(None)


async def test_the_edges_spans_are_kept_beside_those_of_services(tmp_path: Path) -> None:
    async with receiving({"MESH_RUN_DIR": str(tmp_path)}) as spans:
        await export(spans)
    [trace] = traces.read(tmp_path)
    assert [span.name for span in trace.spans] == ["ingress"]
    assert json.loads((tmp_path / "traces" / "edge.jsonl").read_text())["resourceSpans"]


async def test_the_edges_spans_are_passed_on_to_a_collector(tmp_path: Path) -> None:
    async with (
        collector() as (endpoint, came),
        receiving({ENDPOINT: endpoint, "MESH_RUN_DIR": str(tmp_path)}) as spans,
    ):
        await export(spans)

        async def arrived() -> bool:
            return names(came) == ["ingress"]

        await eventually(arrived)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("environment", [{}, {"MESH_RUN_DIR": ""}])
async def test_where_nothing_is_said_the_edges_spans_are_dropped(environment: dict[str, str]) -> None:
    async with receiving(environment) as spans:
        await export(spans)
