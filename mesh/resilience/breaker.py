"""Stops calling a destination that fails, and finds out with one call at a time whether it is back."""

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import pybreaker
from prometheus_client import Counter, Gauge

from mesh.live.settings import Breaker as Settings
from mesh.telemetry import logger

STATE = Gauge("mesh_breaker_state", "0: closed, 1: half-open, 2: open", ["destination"])
REFUSED = Counter("mesh_breaker_refused", "Calls that were not made since the breaker was open", ["destination"])
_STATES = {pybreaker.STATE_CLOSED: 0, pybreaker.STATE_HALF_OPEN: 1, pybreaker.STATE_OPEN: 2}

log = logger(__name__)


@dataclass(frozen=True, eq=False)
class Probe:
    """The one call that may find out whether the destination is back."""

    since: float


class Refused(Exception):  # noqa: N818 - an outcome
    """The call must not be made."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after
        """Seconds."""


class Breaker(pybreaker.CircuitBreakerListener):
    """The breaker of one destination: pybreaker's states and counts, for calls that run side by side.

    pybreaker locks for the length of a call and so knows a call's end when it lets the next one in. Here a call asks
    with `admit` (while `closed` there is nothing to ask) and tells its end with `succeeded`, `failed` or `gave_up`.
    `settings` are read at each decision. `now` is the seconds of a clock that does not go back.
    """

    def __init__(self, destination: str, settings: Callable[[], Settings], clock: Callable[[], float]) -> None:
        self.closed = True
        self.failing = False
        """Whether a success would change anything."""
        self.well_at = -math.inf
        """When the last call began that succeeded; who makes calls keeps it, whatever the state."""
        self._settings = settings
        self._clock = clock
        self._opened_at = 0.0
        self._probe: Probe | None = None
        self._destination = destination
        self._gauge = STATE.labels(destination)
        self._gauge.set(0)
        self._refused = REFUSED.labels(destination)
        self._machine = pybreaker.CircuitBreaker(name=destination, listeners=[self], throw_new_error_on_trip=False)

    def admit(self) -> Probe | None:
        """Lets a call through; what it returns goes back with the call's end. Raises Refused.

        A probe that has not ended after `open_seconds` is given up for lost, so that none can hold the others off for
        ever.
        """
        if self.closed:
            return None
        now, open_seconds = self._clock(), self._settings().open_seconds
        left = max(self._opened_at, self._probe.since if self._probe else 0.0) + open_seconds - now
        if self._machine.current_state == pybreaker.STATE_HALF_OPEN and self._probe is None:
            left = 0.0  # the last probe ended without a verdict
        if left > 0:
            self._refused.inc()
            raise Refused(left)
        self._probe = Probe(now)
        if self._machine.current_state == pybreaker.STATE_OPEN:
            self._machine.half_open()
        return self._probe

    def succeeded(self, probe: Probe | None) -> None:
        """The destination answered."""
        if self.failing and self._is_heard(probe):
            self._probe = None
            self.failing = False
            self._machine.call(_nothing)

    def failed(self, probe: Probe | None, began: float = math.inf) -> None:
        """The call that began at this time failed by the destination's fault.

        While others succeed that began later it is old news: an instance that falls silent fails all calls to it in
        one moment, seconds after they began, and the other instances are well.
        """
        if self._is_heard(probe) and not (self.closed and began < self.well_at):
            self._probe = None
            self.failing = True
            self._machine.fail_max = self._settings().failures
            with contextlib.suppress(_FailureError):
                self._machine.call(_fail)

    def gave_up(self, probe: Probe | None) -> None:
        """The call ended and tells nothing of the destination."""
        if probe is not None and probe is self._probe:
            self._probe = None

    def _is_heard(self, probe: Probe | None) -> bool:
        """While it is not closed only the probe counts: other calls began before."""
        return self.closed or (probe is not None and probe is self._probe)

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        """pybreaker's own notice."""
        self.closed = new_state.name == pybreaker.STATE_CLOSED
        if new_state.name == pybreaker.STATE_OPEN:
            self._opened_at = self._clock()
        self._gauge.set(_STATES[new_state.name])
        log.warning("breaker changed", destination=self._destination, state=new_state.name)


class _FailureError(Exception):
    pass


def _fail() -> None:
    raise _FailureError


def _nothing() -> None:
    pass
