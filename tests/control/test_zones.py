"""Calls stay in the caller's zone while an instance works there, go elsewhere when none does, and come back."""

import signal
import time

from tests.control.conftest import Caller, Plane
from tests.eventually import eventually_sync

CALM = 50


def stays(caller: Caller, *instances: str) -> None:
    """Waits until exactly these have answered the last calls."""

    def settled() -> bool:
        last = caller.answers()[-CALM:]
        return len(last) == CALM and {answer.get("by") for answer in last} == set(instances)

    eventually_sync(settled, 20)


def test_calls_stay_at_home_fail_over_and_return(plane: Plane) -> None:
    with (
        plane.control(),
        plane.greeters("b-1", zone="b"),
        plane.greeters("a-1", "a-2", zone="a") as [first, second],
        plane.caller(zone="a") as at_home,
        plane.caller(zone="b") as abroad,
    ):
        stays(at_home, "a-1", "a-2")
        stays(abroad, "b-1")

        start = time.time()
        first.stop()
        stays(at_home, "a-2")
        assert at_home.failures(start) == []
        assert "b-1" not in at_home.by(start)

        second.stop(signal.SIGKILL)
        stays(at_home, "b-1")
        assert {failure["code"] for failure in at_home.failures(start)} <= {"UNAVAILABLE"}
        assert len(at_home.failures(start)) <= 1  # under way when its server was killed

        failed_over = time.time()
        with plane.greeters("a-3", zone="a"):
            stays(at_home, "a-3")
            assert at_home.failures(failed_over) == []
        assert set(abroad.by()) == {"b-1"}


def test_a_caller_without_a_zone_calls_everywhere(plane: Plane) -> None:
    with plane.control(), plane.greeters("b-1", zone="b"), plane.greeters("a-1", zone="a"), plane.caller() as caller:
        stays(caller, "a-1", "b-1")
