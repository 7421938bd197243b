"""Losing Consul or a control plane stops changes, never traffic."""

import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import httpx

from mesh.local import running
from mesh.local.intentions import declare_intentions
from tests.control.conftest import CLIENT, SERVICE, Caller, Plane
from tests.eventually import eventually_sync

AWAY_SECONDS = 3


def after(seconds: float, caller: Caller, since: float) -> None:
    """Waits until the client has called for so long after `since`."""
    eventually_sync(lambda: caller.answers(since + seconds), seconds + 10)


def test_consul_is_away(plane: Plane) -> None:
    with plane.control(), plane.greeters("auth-1", "auth-2"), plane.caller() as caller:
        eventually_sync(lambda: len(caller.by()) == 2)
        start = time.time()
        with plane.consul_away():
            after(AWAY_SECONDS, caller, start)
        back = time.time()
        after(AWAY_SECONDS, caller, back)
        assert caller.failures() == []
        assert set(caller.by(start)) == {"auth-1", "auth-2"}

        with plane.greeters("auth-3"):  # and changes are seen again
            eventually_sync(lambda: "auth-3" in caller.by())
        assert caller.failures() == []


def test_the_only_control_plane_is_restarted(plane: Plane) -> None:
    with plane.greeters("auth-1"), plane.greeters("auth-2"), plane.control() as control, plane.caller() as caller:
        eventually_sync(lambda: len(caller.by()) == 2)
        control.stop(signal.SIGKILL)
        start = time.time()
        with plane.greeters("auth-3"):
            after(AWAY_SECONDS, caller, start)
            assert set(caller.by(start)) == {"auth-1", "auth-2"}
            with plane.control():
                eventually_sync(lambda: "auth-3" in caller.by())
                assert caller.failures() == []


def test_another_control_plane_takes_over(plane: Plane) -> None:
    with plane.control(0) as first, plane.control(1) as second, plane.greeters("auth-1"), plane.caller() as caller:
        eventually_sync(caller.by)
        assert first.said("subscriber came")
        first.stop(signal.SIGKILL)
        with plane.greeters("auth-2"):
            eventually_sync(lambda: "auth-2" in caller.by(), 5)
            assert second.said("subscriber came")
            with plane.caller() as newcomer:
                eventually_sync(lambda: set(newcomer.by()) == {"auth-1", "auth-2"})
        assert caller.failures() == []
        assert newcomer.failures() == []


def test_a_client_that_comes_before_the_control_plane_is_served_when_that_comes(plane: Plane) -> None:
    with plane.greeters("auth-1"), plane.caller() as caller:
        assert caller.answers()[0]["code"] == "UNAVAILABLE"
        with plane.control():
            eventually_sync(caller.by)


def test_an_instance_that_consul_forgot_registers_itself_again(plane: Plane) -> None:
    url = plane.stack.environment["CONSUL_HTTP_ADDR"] + "/v1/agent/service/deregister/auth-1"
    with plane.control(), plane.greeters("auth-1") as [greeter], plane.caller() as caller:
        eventually_sync(caller.by)
        httpx.put(url).raise_for_status()
        eventually_sync(caller.failures)
        eventually_sync(lambda: greeter.said("consul had forgotten this instance"), 15)
        again = time.time()
        eventually_sync(lambda: caller.by(again))


def test_one_that_starts_while_consul_is_away_serves_what_was_kept(plane: Plane) -> None:
    with plane.greeters("auth-1", "auth-2"), plane.control() as first, plane.caller() as caller:
        eventually_sync(lambda: len(caller.by()) == 2)
        kept = plane.believed()["version"]
        first.stop(signal.SIGKILL)
        [file] = Path(plane.stack.environment["MESH_RUN_DIR"], "control").iterdir()
        assert file.stat().st_mode & 0o777 == 0o600
        with plane.consul_away(), plane.control(until="consul is away, serving what was kept") as second:
            [said] = second.said("consul is away, serving what was kept")
            assert said["version"] == kept
            since = time.time()
            eventually_sync(lambda: second.said("subscriber came"), 20)  # the client, which was there before
            after(AWAY_SECONDS, caller, since)
            assert set(caller.by(since)) == {"auth-1", "auth-2"}
        assert caller.failures() == []


def test_control_planes_agree(plane: Plane) -> None:
    with plane.control(0), plane.control(1), plane.greeters("auth-1"):

        def versions() -> set[str]:
            one, two = plane.believed(0), plane.believed(1)
            instances = [instance["id"] for instance in one["snapshot"]["services"]["auth"]]
            assert instances == ["auth-1"]
            return {one["version"], two["version"]}

        eventually_sync(lambda: len(versions()) == 1)


def test_a_consul_that_has_lost_its_data_takes_no_instance_from_anyone(plane: Plane, tmp_path: Path) -> None:
    with running(["consul"]) as stack:
        lost = replace(plane, stack=stack, folder=tmp_path)
        declare_intentions(stack.environment["CONSUL_HTTP_ADDR"], {SERVICE: {CLIENT: ("*",)}})
        with lost.control() as control, lost.greeters("auth-1") as [greeter]:
            eventually_sync(lambda: lost.believed()["snapshot"]["services"][SERVICE])
            before = len(control.said("instances"))
            with lost.consul_away():
                shutil.rmtree(stack.run.folder("consul"))
            eventually_sync(lambda: control.said("consul has lost its data, waiting until it is told again"), 15)
            eventually_sync(lambda: greeter.said("consul had forgotten this instance"), 15)
            with lost.greeters("auth-2"):  # what changes after that is seen again
                eventually_sync(lambda: len(control.said("instances")) > before, 30)
            assert all(said["instances"] for said in control.said("instances")[before:] if said["of"] == SERVICE)
