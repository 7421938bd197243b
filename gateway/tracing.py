"""The edge's spans: where a trace begins that no caller began.

Envoy sends them to `python -m gateway`, beside which it runs, and that writes them to a file of the run folder as a
service does with its own, or passes them on where OTEL_EXPORTER_OTLP_ENDPOINT says.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
from envoy.config.trace.v3 import opentelemetry_pb2  # noqa: F401 - these are found by name
from envoy.extensions.tracers.opentelemetry.samplers.v3 import (  # noqa: F401
    parent_based_sampler_pb2,
    trace_id_ratio_based_sampler_pb2,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceServicer, TraceServiceStub
from opentelemetry.util.re import parse_env_headers

from mesh.settings import number
from mesh.telemetry.trace_files import TraceFile
from mesh.telemetry.tracing import ENDPOINT

EDGE = "edge"
"""What the edge is called in traces."""
SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
_SAMPLERS = "type.googleapis.com/envoy.extensions.tracers.opentelemetry.samplers.v3."
_PERCENT = 1.0
_FORWARD_SECONDS = 10.0


def tracing(cluster: str, environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The tracing of Envoy's connection manager, whose spans go to `cluster`.

    EDGE_TRACE_PERCENT of the calls that bring no trace context are sampled (default 1); with one, the caller decides.
    """
    percent = number(environment, "EDGE_TRACE_PERCENT", _PERCENT, least=0, most=100)
    by_chance = {
        "@type": f"{_SAMPLERS}TraceIdRatioBasedSamplerConfig",
        "sampling_percentage": {"numerator": round(percent * 10_000), "denominator": "MILLION"},
    }
    as_the_caller = {
        "@type": f"{_SAMPLERS}ParentBasedSamplerConfig",
        "wrapped_sampler": {
            "name": "envoy.tracers.opentelemetry.samplers.trace_id_ratio_based",
            "typed_config": by_chance,
        },
    }
    return {
        # Envoy's own dice would overrule a caller who records: since 1.40 its tracer wants both to agree.
        "random_sampling": {"value": 100},
        "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
                "grpc_service": {"envoy_grpc": {"cluster_name": cluster}, "timeout": "1s"},
                "service_name": EDGE,
                "sampler": {"name": "envoy.tracers.opentelemetry.samplers.parent_based", "typed_config": as_the_caller},
            },
        },
    }


Keep = Callable[[ExportTraceServiceRequest], Awaitable[Any]]
"""Takes spans. Raises OSError or AioRpcError if it could not."""


class Spans(TraceServiceServicer):
    """Receives the edge's spans."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep

    async def Export(self, request: ExportTraceServiceRequest, context: Any) -> ExportTraceServiceResponse:
        await self._keep(request)
        return ExportTraceServiceResponse()


@contextlib.asynccontextmanager
async def receiving(environment: Mapping[str, str] = os.environ) -> AsyncIterator[Spans]:
    """A servicer that keeps spans where the environment says; nowhere, if it says nothing."""
    if endpoint := environment.get(ENDPOINT):
        parts = urlsplit(endpoint)
        headers = tuple(parse_env_headers(environment.get("OTEL_EXPORTER_OTLP_HEADERS", ""), liberal=True).items())
        async with (
            grpc.aio.insecure_channel(parts.netloc)
            if parts.scheme == "http"
            else grpc.aio.secure_channel(parts.netloc or endpoint, grpc.ssl_channel_credentials())
        ) as channel:
            export = TraceServiceStub(channel).Export  # type: ignore[no-untyped-call]
            yield Spans(lambda request: export(request, timeout=_FORWARD_SECONDS, metadata=headers))
    elif folder := environment.get("MESH_RUN_DIR"):
        file = TraceFile(Path(folder), EDGE)
        yield Spans(lambda request: asyncio.to_thread(file.write, request))
    else:
        yield Spans(_nowhere)


async def _nowhere(_: ExportTraceServiceRequest) -> None:
    pass
