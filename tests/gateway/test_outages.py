"""The edge goes on with what it last knew, and moves calls away from an instance that is gone."""

import contextlib
import os
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from mesh.local.logs import Logs
from mesh.local.supervisor import Supervisor
from tests.eventually import eventually_sync
from tests.gateway.conftest import Edge

SEARCHES = "cluster.search.membership_total"
RECONNECT_SECONDS = 2
"""The limit of Envoy's back-off (mesh/local/components/envoy.py)."""


@contextlib.contextmanager
def load(edge: Edge) -> Iterator[Counter[int]]:
    """Calls without a pause, and counts the statuses."""
    statuses, ended = Counter[int](), threading.Event()

    def call() -> None:
        with edge.rest() as rest:
            while not ended.is_set():
                statuses[rest.get("/v1/sales", params={"page_size": 1}).status_code] += 1

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield statuses
    finally:
        ended.set()
        thread.join()


def more(statuses: Counter[int], calls: int = 50) -> None:
    """Waits until so many more calls have been answered."""
    target = statuses.total() + calls
    eventually_sync(lambda: statuses.total() >= target)


def stat(edge: Edge, name: str) -> int:
    url = f"http://127.0.0.1:{edge.stack.port('envoy-admin')}/stats?filter=^{name}$"
    return int(httpx.get(url).text.split(":")[1])


def test_envoy_takes_all_that_it_is_told(edge: Edge) -> None:
    for kind in ("cluster_manager.cds", "listener_manager.lds", "http.edge.rds.edge"):
        assert stat(edge, f"{kind}.update_success") > 0
        assert stat(edge, f"{kind}.update_rejected") == 0
    assert not [line for _, line in Logs(edge.stack.run).last("control", 1000) if "refused" in line]


def test_without_the_control_plane_calls_go_on_and_changes_come_soon_after_it_is_back(edge: Edge) -> None:
    with load(edge) as statuses, httpx.Client(base_url=edge.stack.environment["CONSUL_HTTP_ADDR"]) as consul:
        with edge.stopped("control"):
            failed = stat(edge, "cluster.control.upstream_cx_connect_fail")
            search = {"Name": "search", "ID": "search-0", "Address": "127.0.0.1", "Port": 9, "Tags": ["mesh"]}
            consul.put("/v1/agent/service/register", json=search).raise_for_status()
            eventually_sync(lambda: stat(edge, "cluster.control.upstream_cx_connect_fail") >= failed + 6, 20)
            more(statuses)
            assert stat(edge, SEARCHES) == 0
        back = time.monotonic()
        try:
            eventually_sync(lambda: stat(edge, SEARCHES) == 1)
            assert time.monotonic() - back < RECONNECT_SECONDS + 1
        finally:
            consul.put("/v1/agent/service/deregister/search-0").raise_for_status()
        eventually_sync(lambda: stat(edge, SEARCHES) == 0)
    assert set(statuses) == {200}


@pytest.mark.parametrize("name", ["consul", "gateway-1"])
def test_calls_go_on_without(edge: Edge, name: str) -> None:
    with load(edge) as statuses:
        more(statuses)
        with edge.stopped(name):
            more(statuses, 200)
        more(statuses, 200)
    assert set(statuses) == {200}


def test_without_the_gateway_a_json_body_is_taken_unchecked(edge: Edge) -> None:
    price = {"currency_code": "GBP", "units": "1"}
    lines = [{"stock_code": "1", "quantity": 1, "unit_price": price, "colour": "red"}]
    body = {"sale": {"country": "France", "lines": lines}, "request_id": str(uuid.uuid4())}
    with edge.rest() as rest:
        with edge.stopped("gateway-1"):
            assert rest.post("/v1/sales", json=body).status_code == 200
        eventually_sync(lambda: rest.post("/v1/sales", json=body).status_code == 400)


@pytest.fixture
def second(edge: Edge) -> Iterator[str]:
    """A second instance of sales."""
    edge.stack.up({"sales": 2})
    yield "sales-2"
    edge.stack.up({"sales": 1})


def test_an_instance_that_is_stopped_fails_no_call(edge: Edge, second: str) -> None:
    with load(edge) as statuses:
        more(statuses)
        with edge.stopped(second):
            more(statuses, 200)
        more(statuses)
    assert set(statuses) == {200}


def test_a_killed_instance_fails_what_is_under_way_at_most(edge: Edge, second: str) -> None:
    with load(edge) as statuses:
        more(statuses)
        os.kill(Supervisor(edge.stack.run).state(second).pid, signal.SIGKILL)
        more(statuses, 200)
        eventually_sync(lambda: all(row.healthy for row in edge.stack.status()), 20)
    assert statuses[200] == statuses.total() or statuses == Counter({200: statuses[200], 503: 1})
