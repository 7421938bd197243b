"""Spans of the calls that are sampled (OpenTelemetry, W3C trace context).

Whether a call is sampled is decided once, where its trace begins, by the live settings of the service that it reaches
(or by the edge); everybody behind that follows what `traceparent` says. A call that is not sampled never reaches the
SDK. See docs/adr/0011.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from opentelemetry import propagate, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mesh import callers
from mesh.telemetry import calls

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""Where this variable says, spans go; without it to a file below MESH_RUN_DIR."""
_EXPORT_MILLISECONDS = 1000

_propagator = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("mesh")
_STATUS = "rpc.grpc.status_code"
# A trace of ours begins only where we have decided so; one whose parent decided otherwise stays unrecorded.
_SAMPLER = ParentBased(root=ALWAYS_ON, remote_parent_not_sampled=ALWAYS_OFF)


@contextlib.asynccontextmanager
async def tracing(service: str, instance: str, environment: Mapping[str, str] = os.environ) -> AsyncIterator[None]:
    """Sends the spans of this process where its environment says until the block ends, and the last ones then.

    OpenTelemetry has one provider a process: the first of these blocks is the one that counts.
    """
    provider = provided(service, instance, environment)
    if provider is None:
        yield
        return
    propagate.set_global_textmap(_propagator)  # no baggage: what a stranger sends is not carried on
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        await asyncio.to_thread(provider.shutdown)


def provided(service: str, instance: str, environment: Mapping[str, str]) -> TracerProvider | None:
    """What makes spans and sends them where the environment says; None: it says nothing."""
    exporter = _exporter(instance, environment)
    if exporter is None:
        return None
    resource = Resource.create({"service.name": service, "service.instance.id": instance})
    provider = TracerProvider(sampler=_SAMPLER, resource=resource, shutdown_on_exit=False)
    # A thread of its own writes or sends: the event loop waits for neither a disk nor a collector.
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=_EXPORT_MILLISECONDS))
    return provider


def _exporter(instance: str, environment: Mapping[str, str]) -> SpanExporter | None:
    if endpoint := environment.get(ENDPOINT):
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - if needed

        return OTLPSpanExporter(endpoint)
    if environment.get("MESH_RUN_DIR"):
        from mesh.telemetry.trace_files import FileExporter, TraceFile  # noqa: PLC0415

        return FileExporter(TraceFile(Path(environment["MESH_RUN_DIR"]), instance))
    return None


Behaviour = Callable[[Any, Any], Awaitable[Any]]
"""A handler of the interceptor chain: request or requests, and the context -> the response, or None."""


def traced(path: str, behaviour: Behaviour) -> Behaviour:
    """The handler within a server span, as opentelemetry-instrumentation-grpc makes it.

    Its interceptor is bound to the method here, once; the call itself then goes straight to what it returned.
    """
    from opentelemetry.instrumentation.grpc import aio_server_interceptor  # noqa: PLC0415

    async def within(request: Any, wrapped: Any) -> "_Outcome":
        # The chain gets gRPC's own context: the package's changes what `abort` and `set_code` take.
        context, span, outcome = wrapped.__wrapped__, trace.get_current_span(), _Outcome()
        if (call := calls.current.get()) is not None:
            call.record(_traceparent(span.get_span_context()))
        if (request_id := callers.request_id.get()) is not None:
            span.set_attribute("mesh.request_id", request_id)
        try:
            outcome.response = await behaviour(request, context)
        except BaseException as problem:
            # Not to be seen by the package: for it each refusal is an exception to be kept with all its stack.
            outcome.problem = problem
        code = final_code(context, outcome.problem)
        _tell(span, code, failed=code in _FAULTS)
        if peer := callers.peer.get():
            span.set_attribute("mesh.peer", peer)
        return outcome

    handler: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(within)

    async def bare(_: object) -> "grpc.RpcMethodHandler[Any, Any]":
        return handler

    binding = aio_server_interceptor().intercept_service(bare, _Details(path))  # type: ignore[no-untyped-call]
    try:
        binding.send(None)
    except StopIteration as bound:
        spanned: Callable[[Any, Any], Awaitable[_Outcome]] = bound.value.unary_unary
    else:
        raise RuntimeError("the interceptor waits before it has a call")

    async def handle(request: Any, context: Any) -> Any:
        outcome = await spanned(request, context)
        if outcome.problem is not None:
            raise outcome.problem
        return outcome.response

    return handle


class _Outcome:
    """What a handler returned or raised."""

    response: Any = None
    problem: BaseException | None = None


class _Details:
    """What grpc tells an interceptor of a call before it begins."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.invocation_metadata = ()


def final_code(context: Any, problem: BaseException | None) -> grpc.StatusCode:
    """The status that the caller gets, after the handler returned or raised."""
    code = context.code()
    if code:
        return code if isinstance(code, grpc.StatusCode) else _BY_NUMBER.get(code, grpc.StatusCode.UNKNOWN)
    if problem is None:
        return grpc.StatusCode.OK
    if isinstance(problem, Exception):
        return grpc.StatusCode.UNKNOWN
    over = (left := context.time_remaining()) is not None and left <= 0
    return grpc.StatusCode.DEADLINE_EXCEEDED if over else grpc.StatusCode.CANCELLED


_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


def outgoing(path: str, begin: "partial[Any]") -> "partial[Any]":
    """What makes an attempt of a call, `begin`: with a span of its own, if the work behind the call is sampled.

    If it is not, `unrecorded` is all that a call has to carry.
    """
    call = calls.current.get()
    recorded = call.recorded if call is not None else trace.get_current_span().is_recording()
    return partial(_attempt, path, begin) if recorded else begin


def unrecorded() -> str | None:
    """The `traceparent` that has whoever is called record nothing either; None: it may do as it likes."""
    call = calls.current.get()
    return None if call is None or call.recorded else call.traceparent


def _attempt(path: str, begin: "partial[Any]", **options: Any) -> Any:
    service, _, method = path.removeprefix("/").rpartition("/")
    attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
    span = _tracer.start_span(path, kind=trace.SpanKind.CLIENT, attributes=attributes)
    sent = [pair for pair in begin.keywords.get("metadata") or () if pair[0] != "traceparent"]
    sent.append(("traceparent", _traceparent(span.get_span_context())))
    try:
        attempt = begin(**options, metadata=grpc.aio.Metadata(*sent))
    except BaseException:
        span.end()
        raise
    ending = asyncio.ensure_future(_end(span, attempt))
    _ending.add(ending)
    ending.add_done_callback(_ending.discard)
    return attempt


async def _end(span: trace.Span, attempt: Any) -> None:
    code = await attempt.code()
    _tell(span, code, failed=code is not grpc.StatusCode.OK)
    span.end()


_ending: set["asyncio.Future[None]"] = set()
"""The loop itself keeps no hold of its tasks."""


def _tell(span: trace.Span, code: grpc.StatusCode, *, failed: bool) -> None:
    span.set_attribute(_STATUS, code.value[0])
    if failed:
        span.set_status(trace.Status(trace.StatusCode.ERROR, code.name))


_FAULTS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""What a server's span calls an error: the rest is the caller's doing (OpenTelemetry's conventions for gRPC)."""


def carried() -> dict[str, str]:
    """What a message or a job has to hold so that `continued` goes on where this task is. Empty outside a call."""
    holder: dict[str, str] = {}
    if trace.get_current_span().get_span_context().trace_flags.sampled:
        _propagator.inject(holder)
    elif (call := calls.current.get()) is not None:
        holder["traceparent"] = call.traceparent
    if holder:
        holder["x-request-id"] = calls.request_id()
    return holder


@contextlib.contextmanager
def continued(carried: Mapping[str, str], name: str) -> Iterator[None]:
    """Does the work called `name` as part of what `carried` is of: its logs say so, and its span if it is sampled.

    For the consumer of a message and the worker of a job. Values that are missing or malformed carry nothing on.
    """
    traceparent = carried.get("traceparent")
    if traceparent is not None and not calls.well_formed(traceparent):
        traceparent = None
    call = calls.Call(name, traceparent)
    with contextlib.ExitStack() as stack:
        stack.callback(calls.current.reset, calls.current.set(call))
        stack.callback(callers.request_id.reset, callers.request_id.set(carried.get("x-request-id")))
        if traceparent is not None and calls.sampled(traceparent):
            context = _propagator.extract({"traceparent": traceparent})
            span = stack.enter_context(
                _tracer.start_as_current_span(name, context=context, kind=trace.SpanKind.CONSUMER)
            )
            call.record(_traceparent(span.get_span_context()))
        yield


def _traceparent(context: trace.SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
