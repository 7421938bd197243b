"""Which instances the clients of a service reach: a real Consul, control plane, services and clients."""

import signal
import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.control.conftest import Caller, Plane
from tests.eventually import eventually_sync

CALM = 60
"""So many answers in a row say what is the rule now."""


@pytest.fixture(scope="module")
def caller(plane: Plane) -> Iterator[Caller]:
    """A client of three instances."""
    with plane.control(), plane.greeters("auth-1", "auth-2", "auth-3"), plane.caller() as caller:
        eventually_sync(lambda: len(caller.by()) == 3)
        yield caller


def calm(caller: Caller, *, instances: int) -> float:
    """Waits until exactly so many instances have answered `CALM` calls in turn; returns when these began."""

    def settled() -> float:
        last = caller.answers()[-CALM:]
        return last[0]["at"] if len({answer.get("by") for answer in last}) == instances else 0.0

    return eventually_sync(settled, 20)


def test_calls_go_round_all_instances(caller: Caller) -> None:
    start = calm(caller, instances=3)
    counts = caller.by(start)
    assert set(counts) == {"auth-1", "auth-2", "auth-3"}
    assert max(counts.values()) - min(counts.values()) <= 2


def test_a_new_instance_gets_calls_within_two_seconds(plane: Plane, caller: Caller) -> None:
    start = calm(caller, instances=3)
    with plane.greeters("auth-4") as [greeter]:
        eventually_sync(lambda: "auth-4" in caller.by())
        [registered] = greeter.said("registered")
        first = next(answer["at"] for answer in caller.answers() if answer.get("by") == "auth-4")
        assert first - datetime.fromisoformat(registered["timestamp"]).timestamp() < 2
        calm(caller, instances=4)
    assert caller.failures(start) == []


def test_an_instance_that_is_stopped_fails_no_call(plane: Plane, caller: Caller) -> None:
    with plane.greeters("auth-4") as [greeter]:
        start = calm(caller, instances=4)
        assert greeter.stop() == 0
        stopped = time.time()
    eventually_sync(lambda: len(caller.answers(stopped)) > CALM)
    assert caller.failures(start) == []
    assert "auth-4" not in caller.by(stopped)


def test_a_killed_instance_gets_no_more_calls(plane: Plane, caller: Caller) -> None:
    with plane.greeters("auth-4") as [greeter]:
        start = calm(caller, instances=4)
        greeter.stop(signal.SIGKILL)
        killed = time.time()
    eventually_sync(lambda: len(caller.answers(killed)) > CALM)
    assert "auth-4" not in caller.by(killed)
    failures = caller.failures(start)
    assert len(failures) <= 1  # the one that was under way
    assert {failure["code"] for failure in failures} <= {"UNAVAILABLE"}
    assert caller.failures(killed + 0.5) == []


def test_a_service_without_an_instance_is_unavailable_at_once(plane: Plane, caller: Caller) -> None:
    with plane.caller("search") as lost:
        first = lost.answers()[0]
        assert first["code"] == "UNAVAILABLE"
        assert first["took"] < 1
        assert "search" in first["details"]
