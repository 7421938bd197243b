"""Counting without locks gives what Prometheus' own client gives."""

import prometheus_client
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from mesh.telemetry import counting

BOUNDS = (0.001, 0.01, 0.1, 1.0)
lasted = st.floats(0, 10) | st.sampled_from(BOUNDS)


@given(st.lists(st.tuples(st.sampled_from("ab"), lasted)))
def test_the_figures_are_those_of_the_original(calls: list[tuple[str, float]]) -> None:
    told = []
    for module in (prometheus_client, counting):
        registry = CollectorRegistry()
        seconds = module.Histogram("seconds", "How long", ["of"], registry=registry, buckets=BOUNDS)
        number = module.Counter("calls", "How many", ["of"], registry=registry)
        for of, took in calls:
            seconds.labels(of).observe(took)
            number.labels(of).inc()
        told.append([line for line in generate_latest(registry).decode().splitlines() if "_created" not in line])
    assert told[0] == told[1]
