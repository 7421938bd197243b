"""Rates and durations from what processes tell at their metrics ports at two moments."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

Labels = Mapping[str, str]
Scrape = dict[tuple[str, frozenset[tuple[str, str]]], float]
"""The value of each sample by its name and labels."""

BREAKER_STATES = ("closed", "half-open", "open")
_ERRORS = {"UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "RESOURCE_EXHAUSTED"}
"""What is no fault of the caller's."""


@dataclass(frozen=True)
class MethodFigures:
    """How one method does, over all instances of its service."""

    service: str
    method: str
    """`Service/Method`, without the package."""
    calls_per_second: float
    errors_percent: float
    """Of calls that ended by the service's fault, or were refused as it had no room."""
    p50_milliseconds: float | None
    """None: no call ended."""
    p99_milliseconds: float | None
    in_flight: int


@dataclass(frozen=True)
class DestinationFigures:
    """How all instances of one service fare with another that they call."""

    caller: str
    destination: str
    calls_per_second: float
    errors_percent: float
    retries_per_second: float
    breaker: str
    """The worst state that any instance sees: closed, half-open or open."""


@dataclass(frozen=True)
class Observed:
    """Two scrapes of one process."""

    service: str
    before: Scrape
    after: Scrape
    seconds: float
    """Between the two."""


def scraped(text: str) -> Scrape:
    """Reads Prometheus' text format."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def methods(observed: Iterable[Observed]) -> list[MethodFigures]:
    """The figures of all methods that have been called, or are, by service and method."""
    rate: dict[tuple[str, str], float] = defaultdict(float)
    errors: dict[tuple[str, str], float] = defaultdict(float)
    active: Counter[tuple[str, str]] = Counter()
    ever: set[tuple[str, str]] = set()
    buckets: dict[tuple[str, str], dict[float, float]] = defaultdict(lambda: defaultdict(float))
    for process in observed:
        for labels, value in _now(process, "mesh_server_calls_active"):
            active[_method(process, labels)] += int(value)
        for labels, value in _now(process, "mesh_server_calls_total"):
            if value:
                ever.add(_method(process, labels))
        for labels, increase in _increases(process, "mesh_server_calls_total"):
            rate[_method(process, labels)] += increase / process.seconds
            if labels["code"] in _ERRORS:
                errors[_method(process, labels)] += increase / process.seconds
        for labels, increase in _increases(process, "mesh_server_call_seconds_bucket"):
            buckets[_method(process, labels)][float(labels["le"])] += increase
    shown = sorted(ever | {key for key, value in active.items() if value})
    return [
        MethodFigures(
            *key,
            calls_per_second=rate[key],
            errors_percent=_percent(errors[key], rate[key]),
            p50_milliseconds=_milliseconds(quantile(buckets[key], 0.5)),
            p99_milliseconds=_milliseconds(quantile(buckets[key], 0.99)),
            in_flight=active[key],
        )
        for key in shown
    ]


def destinations(observed: Iterable[Observed]) -> list[DestinationFigures]:
    """The figures of all destinations that processes know, by caller and destination."""
    rate: dict[tuple[str, str], float] = defaultdict(float)
    errors: dict[tuple[str, str], float] = defaultdict(float)
    retries: dict[tuple[str, str], float] = defaultdict(float)
    states: dict[tuple[str, str], int] = {}
    for process in observed:
        for labels, value in _now(process, "mesh_breaker_state"):
            key = process.service, labels["destination"]
            states[key] = max(states.get(key, 0), int(value))
        for labels, increase in _increases(process, "mesh_client_calls_total"):
            key = process.service, labels["destination"]
            rate[key] += increase / process.seconds
            if labels["code"] in _ERRORS:
                errors[key] += increase / process.seconds
        for labels, increase in _increases(process, "mesh_client_retries_total"):
            retries[process.service, labels["destination"]] += increase / process.seconds
    return [
        DestinationFigures(
            *key, rate[key], _percent(errors[key], rate[key]), retries[key], BREAKER_STATES[states.get(key, 0)]
        )
        for key in sorted(states.keys() | rate.keys())
    ]


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """The value that `share` of the observations do not exceed, taken as even within a bucket, as Prometheus does.

    `buckets` has by upper bound how many observations are not above it. Above the last finite bound it is that bound.
    """
    bounds = sorted(buckets)
    if not bounds or not buckets[bounds[-1]]:
        return None
    rank = share * buckets[bounds[-1]]
    below, lower = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank and buckets[bound] > below:
            if bound == float("inf"):
                return lower
            even = lower + (bound - lower) * (rank - below) / (buckets[bound] - below)
            return min(even, bound)
        below, lower = buckets[bound], bound
    return lower


def _now(process: Observed, name: str) -> Iterator[tuple[dict[str, str], float]]:
    return ((dict(labels), value) for (sample, labels), value in process.after.items() if sample == name)


def _increases(process: Observed, name: str) -> Iterator[tuple[dict[str, str], float]]:
    """How much each counter has grown; one that has fallen began anew, with its process."""
    for (sample, labels), value in process.after.items():
        if sample == name:
            before = process.before.get((sample, labels), 0.0)
            yield dict(labels), value - before if value >= before else value


def _method(process: Observed, labels: Labels) -> tuple[str, str]:
    return process.service, f"{labels['service'].rpartition('.')[2]}/{labels['method']}"


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
