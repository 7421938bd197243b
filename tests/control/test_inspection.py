"""What `meshctl` shows of a control plane: what it believes beside what its subscribers have taken."""

import json
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2

from mesh.control.packing import LISTENER
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


def test_each_subscriber_is_shown_with_what_it_has_taken(served: Plane) -> None:
    def settled() -> bool:
        [subscriber] = told(served, "subscribers", "--json")["subscribers"]
        assert (subscriber["node"], subscriber["kind"], subscriber["refused"]) == ("client", "grpc", [])
        return bool(subscriber["taken"] == subscriber["of"] > 0)

    eventually_sync(settled)
    title, line = printed(served, "subscribers").splitlines()
    assert title.split() == ["SUBSCRIBER", "KIND", "ZONE", "SINCE", "TAKEN", "REFUSED"]
    assert line.split()[0] == "client"


def test_a_refusal_is_told_and_ends_with_a_status(served: Plane) -> None:
    """Of the edge's kind, which gets other resources; its node is as it wishes."""
    server = f"127.0.0.1:{served.servers[0].rpartition(':')[2]}"
    with grpc.insecure_channel(server) as channel:
        requests: queue.Queue[discovery_pb2.DiscoveryRequest | None] = queue.Queue()
        stream = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel).StreamAggregatedResources(
            iter(requests.get, None), wait_for_ready=True
        )
        requests.put(
            discovery_pb2.DiscoveryRequest(type_url=LISTENER, node={"id": "stubborn"}, resource_names=["auth"])
        )
        answer = next(stream)
        requests.put(
            discovery_pb2.DiscoveryRequest(
                type_url=LISTENER,
                response_nonce=answer.nonce,
                resource_names=["auth"],
                error_detail={"code": 3, "message": "auth: too long"},
            )
        )
        eventually_sync(lambda: "auth: too long" in subscribers_shown(served)[1])
        status, shown = subscribers_shown(served)
        assert status == 1
        assert "0 of 1" in next(line for line in shown.splitlines() if line.startswith("stubborn"))
        requests.put(None)
    eventually_sync(lambda: subscribers_shown(served)[0] == 0)


def subscribers_shown(plane: Plane) -> tuple[int, str]:
    run_dir = Path(plane.stack.environment["MESH_RUN_DIR"])
    return meshctl(ROOT, "subscribers", run_dir=run_dir)[:2]


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
