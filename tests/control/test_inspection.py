"""What `meshctl` shows of a control plane: what it believes beside what its subscribers have taken."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.conftest import ROOT, meshctl
from tests.control.conftest import Plane
from tests.eventually import eventually_sync

RESOLVER = {
    "Kind": "service-resolver",
    "Name": "auth",
    "Subsets": {f"v-{version}": {"Filter": f'Service.Meta.version == "{version}"'} for version in ("1", "2")},
}
SPLITTER = {
    "Kind": "service-splitter",
    "Name": "auth",
    "Splits": [{"Weight": 90, "ServiceSubset": "v-1"}, {"Weight": 10, "ServiceSubset": "v-2"}],
}


@pytest.fixture(scope="module")
def served(plane: Plane) -> Iterator[Plane]:
    """A client of three instances, two of version 1 and one of version 2 in another zone."""
    with (
        plane.control(),
        plane.greeters("auth-1", "auth-2", zone="a"),
        plane.greeters("auth-3", zone="b", version="2"),
        plane.caller() as caller,
    ):
        eventually_sync(lambda: len(caller.by()) == 3)
        yield plane


def printed(plane: Plane, *arguments: str) -> str:
    status, found, said = meshctl(ROOT, *arguments, run_dir=Path(plane.stack.environment["MESH_RUN_DIR"]))
    assert status == 0, said
    return found


def told(plane: Plane, *arguments: str) -> Any:
    return json.loads(printed(plane, *arguments))


def test_endpoints_are_shown_with_who_has_not_taken_them(served: Plane) -> None:
    def current() -> bool:
        return bool(told(served, "endpoints", "auth", "--json")["services"]["auth"]["behind"] == [])

    eventually_sync(current)
    found = told(served, "endpoints", "--json")
    assert [each["id"] for each in found["services"]["auth"]["instances"]] == ["auth-1", "auth-2", "auth-3"]
    title, *lines = printed(served, "endpoints", "auth").splitlines()
    assert title.split() == ["SERVICE", "INSTANCE", "ADDRESS", "ZONE", "VERSION", "NOT", "TAKEN", "BY"]
    assert [(line.split()[1], *line.split()[3:]) for line in lines] == [
        ("auth-1", "a", "1"),
        ("auth-2", "a", "1"),
        ("auth-3", "b", "2"),
    ]
    assert "none is healthy" in printed(served, "endpoints", "search")


def test_a_dump_has_each_subscriber_with_what_it_took_beside_what_is_current(served: Plane) -> None:
    def taken() -> Any:
        [subscriber] = told(served, "config-dump", "client", "--full")["subscribers"]
        assert all(state["current_is_taken"] for kind in subscriber["types"].values() for state in kind.values())
        return subscriber

    subscriber = eventually_sync(taken)
    assert (subscriber["kind"], subscriber["zone"]) == ("grpc", "")
    assert set(subscriber["types"]) == {"Listener", "RouteConfiguration", "Cluster", "ClusterLoadAssignment"}
    state = subscriber["types"]["Cluster"]["auth"]
    assert state["acknowledged"] == state["current"]
    assert state["content"]["name"] == "auth"


def test_routes_show_how_a_service_is_divided(served: Plane) -> None:
    with httpx.Client(base_url=served.stack.environment["CONSUL_HTTP_ADDR"]) as consul:
        for entry in ({"Kind": "service-defaults", "Name": "auth", "Protocol": "grpc"}, RESOLVER, SPLITTER):
            consul.put("/v1/config", json=entry).raise_for_status()
        try:
            eventually_sync(lambda: "auth/v-1 90 %, auth/v-2 10 %" in printed(served, "routes", "auth"))
        finally:
            for kind in ("service-splitter", "service-resolver"):
                consul.delete(f"/v1/config/{kind}/auth").raise_for_status()
    eventually_sync(lambda: "v-1" not in printed(served, "routes"))


def test_what_is_not_there_is_said(served: Plane) -> None:
    run_dir = Path(served.stack.environment["MESH_RUN_DIR"])
    for arguments, said in (
        (("endpoints", "nobody"), "control-1 knows no service nobody"),
        (("config-dump", "nobody"), "control-1 has no subscriber nobody; there are client"),
        (("routes", "--control", "control-9"), "no control plane control-9; there are control-1"),
    ):
        status, _, error = meshctl(ROOT, *arguments, run_dir=run_dir)
        assert status == 1
        assert said in error
