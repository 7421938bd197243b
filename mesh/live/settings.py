"""What an operator may set for one service while it runs: the JSON document under `mesh/live/SERVICE` in Consul's KV.

Its instances take `log_level`, `trace_ratio`, `limits` and `faults`; whoever calls it takes `retry` and `breaker`.
"""

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

NAME = r"^[a-z0-9][a-z0-9-]{0,62}$"
"""Names of services and of faults."""


class LiveSettingsError(ValueError):
    """A document that is not settings; the message names every wrong key with what is wrong with it."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        self.lines = [f"{key}: {problem}" for key, problem in problems]
        super().__init__("; ".join(self.lines))
        self.problems = problems


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


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
    """Where the doubling ends; not less than `first_backoff_seconds`."""
    budget_ratio: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Retries allowed for each call, counted over the last ten seconds."""
    budget_floor_per_second: Annotated[float, Field(ge=0, le=1000)] = 5.0
    """Retries allowed whatever the number of calls."""

    @model_validator(mode="after")
    def _backoff_grows(self) -> Self:
        if self.first_backoff_seconds > self.last_backoff_seconds:
            raise ValueError(
                f"first_backoff_seconds ({self.first_backoff_seconds:g}) is more than "
                f"last_backoff_seconds ({self.last_backoff_seconds:g})"
            )
        return self


class Breaker(_Part):
    """When a caller stops calling a destination that fails."""

    failures: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Calls that failed in a row, by the destination's fault, until it opens."""
    open_seconds: Annotated[float, Field(gt=0, le=600)] = 5.0
    """How long no call is made, until one may probe."""


def _text_header(name: str) -> str:
    if name.endswith("-bin"):
        raise ValueError("a binary header cannot be matched")
    return name


class Fault(_Part):
    """A failure on purpose. It strikes calls that match all that it names."""

    percentage: Annotated[float, Field(gt=0, le=100)] = 100.0
    """How many of the calls that match, each by chance."""
    methods: tuple[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")], ...] = ()
    """Names of methods, as in `GetSale`; empty: all."""
    callers: tuple[Annotated[str, Field(pattern=NAME)], ...] = ()
    """Names of the calling services; empty: all."""
    headers: dict[Annotated[str, Field(pattern=r"^[a-z0-9_.-]+$"), AfterValidator(_text_header)], str] = {}
    """Headers of the call, in lower case, with their exact values; empty: whatever they are."""
    delay_seconds: Annotated[float, Field(ge=0, le=600)] = 0.0
    """How long the call is held back before its handler."""
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
    """The canonical code to end the call with, after the delay; null: it goes on."""

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not self.delay_seconds and self.abort is None:
            raise ValueError("it does nothing: give it delay_seconds, abort or both")
        return self


class LiveSettings(_Part):
    """All of it, each part with its default."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None = None
    """null: what MESH_LOG_LEVEL says."""
    trace_ratio: Annotated[float, Field(ge=0, le=1)] = 0.01
    """The share of calls without a traced caller whose trace is kept."""
    limits: Limits = Limits()
    retry: Retry = Retry()
    breaker: Breaker = Breaker()
    faults: dict[Annotated[str, Field(pattern=NAME)], Fault] = {}
    """By name."""

    @classmethod
    def from_json(cls, document: str | bytes) -> Self:
        """Raises LiveSettingsError."""
        try:
            return cls.model_validate_json(document)
        except ValidationError as error:
            raise LiveSettingsError(
                [(_path(problem["loc"]), _said(problem)) for problem in error.errors(include_url=False)]
            ) from None


def _path(location: tuple[int | str, ...]) -> str:
    """`faults.slow-sales.methods.0`. `[key]` says that the name itself is wrong, not what stands under it."""
    return ".".join(str(part) for part in location if part != "[key]") or "the document"


def _said(problem: Any) -> str:
    given = problem["input"]
    match problem["type"]:
        case "extra_forbidden":
            return "there is no such key"
        case "value_error":
            return str(problem["ctx"]["error"])
        case "json_invalid":
            return f"not JSON: {problem['ctx']['error']}"
    said = str(problem["msg"]).removeprefix("Input ").removeprefix("String ")
    return f"{said}, not {json.dumps(given):.80}" if isinstance(given, str | int | float | None) else said


class Live:
    """The settings in force; whoever uses one reads it from `current` at each call."""

    def __init__(self, current: LiveSettings | None = None) -> None:
        self.current = current or LiveSettings()
        self.on_change: list[Callable[[LiveSettings], None]] = []
        """Called with the new settings by `replace`: for what has to be told and cannot read `current`."""

    def replace(self, settings: LiveSettings) -> None:
        """Puts other settings in force."""
        self.current = settings
        for tell in self.on_change:
            tell(settings)
