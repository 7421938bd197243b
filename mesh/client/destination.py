"""What all channels of this process to one destination share, and what its methods ask for."""

import time

import grpc
from prometheus_client import Gauge

import mesh
from mesh import contract
from mesh.error import from_rpc_error
from mesh.live.settings import Live
from mesh.resilience.breaker import Breaker, Probe
from mesh.resilience.budget import Budget
from mesh.telemetry.counting import Counter, Histogram
from mesh.v1.error_reason_pb2 import ErrorReason

CALLS = Counter("mesh_client_calls", "Calls by how they ended for the caller", ["destination", "method", "code"])
SECONDS = Histogram("mesh_client_call_seconds", "Calls made, from first to last attempt", ["destination", "method"])
RETRIES = Counter("mesh_client_retries", "Attempts after the first", ["destination", "method"])
RETRIES_REFUSED = Counter("mesh_client_retries_refused", "Retries for which the budget had none", ["destination"])
BUDGET = Gauge("mesh_retry_budget_remaining", "Retries that may be made now", ["destination"])

OK = grpc.StatusCode.OK
_DOMAIN = ErrorReason.DESCRIPTOR.file.package
_NOT_BEGUN = frozenset({"STOPPING", "OVERLOADED"})
_FAULTS = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DATA_LOSS,
    }
)
_NO_VERDICT = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        # also what gRPC says on this side of a message that is too large
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)

error = mesh.errors(ErrorReason)


class Destination:
    """A service, or an address, that this process calls."""

    def __init__(self, name: str, live: Live) -> None:
        self.name = name
        self.live = live
        self.breaker = Breaker(name, lambda: self.live.current.breaker, time.monotonic)
        self.budget = Budget()
        self._retries_refused = RETRIES_REFUSED.labels(name)
        BUDGET.labels(name).set_function(self._budget_remaining)

    def spend_retry(self) -> bool:
        settings = self.live.current.retry
        granted = self.budget.spend(time.monotonic(), settings.budget_ratio, settings.budget_floor_per_second)
        if not granted:
            self._retries_refused.inc()
        return granted

    def _budget_remaining(self) -> float:
        settings = self.live.current.retry
        return self.budget.remaining(time.monotonic(), settings.budget_ratio, settings.budget_floor_per_second)


_known: dict[str, Destination] = {}


def destination(name: str, live: Live | None = None) -> Destination:
    """The one destination of this name. `live` are the settings in force from now on, if they are given."""
    known = _known.get(name)
    if known is None:
        known = _known[name] = Destination(name, live or Live())
    elif live is not None:
        known.live = live
    return known


class Method:
    """One method of a destination, with whatever can be looked up before it is called."""

    def __init__(self, path: str, at: Destination) -> None:
        self.at = at
        self.path = path
        try:
            policy = contract.method(path)
        except contract.ContractError:  # health, reflection and other services that have no contract of ours
            self.default_seconds: float | None = None
            self._retry_on: frozenset[grpc.StatusCode] = frozenset()
        else:
            self.default_seconds = policy.default_deadline_seconds
            self._retry_on = policy.retry_on
            if grpc.StatusCode.UNAVAILABLE in policy.retry_on:
                # Who cancels a call on this side gets asyncio's CancelledError. A status CANCELLED came from the other:
                # a server that stops drops so what it had taken and not begun, and knows no better word for it.
                self._retry_on |= {grpc.StatusCode.CANCELLED}
        self.retries = RETRIES.labels(at.name, path)
        self._ok = CALLS.labels(at.name, path, "OK")
        self._observe = SECONDS.labels(at.name, path).observe

    def ended(self, code: grpc.StatusCode, started: float, seconds: float | None, probe: Probe | None) -> None:
        """A call that might take `seconds` ended, for metrics and breaker. `started`: `time.monotonic()`."""
        self._observe(time.monotonic() - started)
        breaker = self.at.breaker
        if code is OK:
            self._ok.inc()
            if started > breaker.well_at:  # noqa: PLR1730 - each call pays for this
                breaker.well_at = started
            if breaker.failing:
                breaker.succeeded(probe)
            return
        self.count(code)
        if code in _FAULTS or (code is grpc.StatusCode.DEADLINE_EXCEEDED and self._is_enough(seconds)):
            breaker.failed(probe, started)
        elif code in _NO_VERDICT:
            breaker.gave_up(probe)
        else:  # refused for the caller's sake by a destination that is well
            breaker.succeeded(probe)

    def count(self, code: grpc.StatusCode) -> None:
        CALLS.labels(self.at.name, self.path, code.name).inc()

    def _is_enough(self, seconds: float | None) -> bool:
        """Who gives a call less than its contract does cannot blame the destination."""
        return self.default_seconds is not None and (seconds is None or seconds >= self.default_seconds)

    def is_retryable(self, failure: BaseException) -> bool:
        """Whether calling once more can help and can do no harm.

        That is so on the codes that the contract names for an idempotent method. And it is so for every method where
        a server of the mesh says that it has not begun the call, as it is stopping or has no room: the next attempt
        meets another instance, or this one after the time it asks for. If all have no room, the budget keeps the
        retries to a share of the calls. No server says so of a call that it has begun: an error that one gets from
        another and does not handle leaves it as INTERNAL.
        """
        if not isinstance(failure, grpc.aio.AioRpcError):
            return False
        if failure.code() in self._retry_on:
            return True
        if failure.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED):
            return False
        said = from_rpc_error(failure)
        return said.domain == _DOMAIN and said.reason in _NOT_BEGUN

    @staticmethod
    def pushed_back(failure: BaseException) -> float:
        """The seconds for which a failed call asks to wait (RetryInfo)."""
        return (
            max(0.0, from_rpc_error(failure).retry_after or 0.0) if isinstance(failure, grpc.aio.AioRpcError) else 0.0
        )


def circuit_open(name: str, retry_after: float) -> grpc.aio.AioRpcError:
    return rpc_error(error(ErrorReason.ERROR_REASON_CIRCUIT_OPEN, destination=name, retry_after=retry_after))


def too_late() -> grpc.aio.AioRpcError:
    return rpc_error(error(ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED))


def rpc_error(refusal: mesh.Error) -> grpc.aio.AioRpcError:
    """As if a server had sent it."""
    return grpc.aio.AioRpcError(
        refusal.code,
        initial_metadata=grpc.aio.Metadata(),
        trailing_metadata=grpc.aio.Metadata(*refusal.trailing_metadata()),
        details=refusal.message,
        debug_error_string="not sent",
    )
