"""How often each method is called, how it ends and how long it takes; and of the sampled calls a trace."""

import random
import time
from typing import Any

import grpc
from prometheus_client import Gauge

from mesh.interceptors.chain import Context, Handler, Rpc, metadata
from mesh.live.settings import Live
from mesh.telemetry import calls, logger
from mesh.telemetry.counting import Counter, Histogram
from mesh.telemetry.tracing import final_code, traced

CALLS = Counter("mesh_server_calls", "Calls that ended, by the status that was sent.", ["service", "method", "code"])
SECONDS = Histogram(
    "mesh_server_call_seconds",
    "How long calls took, from their headers to the status.",
    ["service", "method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120),
)
ACTIVE = Gauge("mesh_server_calls_active", "Calls being served.", ["service", "method"])

_TOLD = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""Failures that get a line in the log: the server's own, but for INTERNAL, which Errors tells of with its cause."""

log = logger(__name__)
OK = grpc.StatusCode.OK


class _Ended(dict[grpc.StatusCode, Counter]):
    """The counters of a method by status, each made when it is first needed."""

    def __init__(self, service: str, method: str) -> None:
        self._labels = (service, method)
        self[OK]  # every method has one, so that a rate can be had from its first call on

    def __missing__(self, code: grpc.StatusCode) -> Counter:
        made = self[code] = CALLS.labels(*self._labels, code.name)
        return made


class Telemetry:
    """Outermost: what it sees is what the caller gets."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def wrap(self, rpc: Rpc, proceed: Handler) -> Handler:
        path, live = rpc.path, self._live
        service, _, method = path.removeprefix("/").rpartition("/")
        observe = SECONDS.labels(service, method).observe
        ended = _Ended(service, method)
        well = ended[OK].inc
        active = _active(service, method)
        proceed_traced = traced(path, proceed)

        async def handle(request: Any, context: Context) -> Any:
            traceparent = None
            for key, value in metadata(context):
                if key == "traceparent" and calls.well_formed(value):
                    traceparent = value
                elif key == "x-request-id":
                    calls.keep_request_id(value)
            calls.current.set(calls.Call(path, traceparent))
            # Who begins a trace decides; as far as anyone knows that is here if none came.
            sampled = calls.sampled(traceparent) if traceparent else random.random() < live.current.trace_ratio  # noqa: S311
            active[0] += 1
            started = time.perf_counter()
            try:
                response = await (proceed_traced if sampled else proceed)(request, context)
            except BaseException as problem:
                failed(final_code(context, problem), time.perf_counter() - started)
                raise
            else:
                took = time.perf_counter() - started
                if context.code():
                    failed(final_code(context, None), took)
                else:
                    observe(took)
                    well()
                return response
            finally:
                active[0] -= 1

        def failed(code: grpc.StatusCode, took: float) -> None:
            observe(took)
            ended[code].inc()
            if code in _TOLD:
                log.warning("call failed", code=code.name, seconds=round(took, 4))

        return handle


_numbers: dict[tuple[str, str], list[int]] = {}


def _active(service: str, method: str) -> list[int]:
    """The one number that it holds is the method's calls being served, in all servers of this process.

    All calls are served in one thread, so that a number is enough; a gauge's own lock costs ten times as much.
    """
    known = _numbers.get((service, method))
    if known is None:
        known = _numbers[service, method] = [0]
        ACTIVE.labels(service, method).set_function(lambda: known[0])
    return known
