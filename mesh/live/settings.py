"""What an operator may set for one service while it runs: the JSON document under `mesh/live/SERVICE` in Consul's KV.

Its instances take `log_level`, `trace_ratio`, `limits` and `faults`; whoever calls it takes `retry` and `breaker`.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Limits(_Part):
    """How much work one instance takes on."""

    max_concurrent_calls: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Calls being worked on; a method may have a lower limit in its contract."""
    max_queued_calls: Annotated[int, Field(ge=0, le=100_000)] = 64
    """Calls waiting for one of those to end."""
    queue_seconds: Annotated[float, Field(gt=0, le=60)] = 0.5
    """How long one waits before it is refused."""


class Retry(_Part):
    """How often a caller tries again after a failure of an idempotent call."""

    max_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """The first one included."""
    first_backoff_seconds: Annotated[float, Field(gt=0, le=60)] = 0.05
    """The most that is waited before the second attempt; it doubles with each. Full jitter: from zero to the most."""
    last_backoff_seconds: Annotated[float, Field(gt=0, le=60)] = 1.0
    budget_ratio: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Retries allowed for each call, counted over the last ten seconds."""
    budget_floor_per_second: Annotated[float, Field(ge=0, le=1000)] = 5.0
    """Retries allowed whatever the number of calls."""


class Breaker(_Part):
    """When a caller stops calling a destination that fails."""

    failures: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Calls that failed in a row, by the destination's fault, until it opens."""
    open_seconds: Annotated[float, Field(gt=0, le=600)] = 5.0
    """How long no call is made, until one may probe."""


class Fault(_Part):
    """A failure on purpose. It strikes calls that match all that it names."""

    percentage: Annotated[float, Field(gt=0, le=100)] = 100.0
    methods: tuple[str, ...] = ()
    """Names of methods; empty: all."""
    callers: tuple[str, ...] = ()
    """Names of the calling services; empty: all."""
    headers: dict[str, str] = {}
    """Headers of the call with their exact values; empty: whatever they are."""
    delay_seconds: Annotated[float, Field(ge=0, le=600)] = 0.0
    abort: (
        Literal[
            "CANCELLED",
            "UNKNOWN",
            "INVALID_ARGUMENT",
            "DEADLINE_EXCEEDED",
            "NOT_FOUND",
            "ALREADY_EXISTS",
            "PERMISSION_DENIED",
            "RESOURCE_EXHAUSTED",
            "FAILED_PRECONDITION",
            "ABORTED",
            "OUT_OF_RANGE",
            "UNIMPLEMENTED",
            "INTERNAL",
            "UNAVAILABLE",
            "DATA_LOSS",
            "UNAUTHENTICATED",
        ]
        | None
    ) = None
    """The canonical code to end the call with, after the delay; None: it goes on."""


class LiveSettings(_Part):
    """All of it, each part with its default."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None = None
    """None: what MESH_LOG_LEVEL says."""
    trace_ratio: Annotated[float, Field(ge=0, le=1)] = 0.01
    """The share of calls without a traced caller whose trace is kept."""
    limits: Limits = Limits()
    retry: Retry = Retry()
    breaker: Breaker = Breaker()
    faults: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")], Fault] = {}
    """By name."""


class Live:
    """The settings in force; whoever uses one reads it from `current` at each call."""

    def __init__(self, current: LiveSettings | None = None) -> None:
        self.current = current or LiveSettings()
