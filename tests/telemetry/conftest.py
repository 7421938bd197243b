"""The spans of this process, which has one place for them."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from opentelemetry import trace

from mesh.telemetry import traces
from mesh.telemetry.traces import Span
from mesh.telemetry.tracing import tracing

Spans = Callable[[str], list[Span]]


@pytest.fixture(scope="package")
async def run_dir(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    """Where this process keeps its traces."""
    folder = tmp_path_factory.mktemp("run")
    async with tracing("tests", "tests-1", {"MESH_RUN_DIR": str(folder)}):
        yield folder


@pytest.fixture
def spans(run_dir: Path) -> Spans:
    """Gives the spans of a trace, those that have just ended too, in the order in which they began."""

    def of_trace(trace_id: str) -> list[Span]:
        trace.get_tracer_provider().force_flush()  # type: ignore[attr-defined]
        found = [each for each in traces.read(run_dir) if each.trace_id == trace_id]
        return sorted((span for each in found for span in each.spans), key=lambda span: span.start)

    return of_trace
