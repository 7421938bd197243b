"""Three instances under a steady load; one of them, or all, in trouble."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator

import pytest

from mesh.local.ports import claimed
from tests.chaos.cluster import Cluster, Load
from tests.chaos.conftest import seconds
from tests.chaos.fault_proxy import fault_proxy
from tests.eventually import eventually_sync
from tests.programs import Program

RATE = 100
NAMES = ("auth-1", "auth-2", "auth-3")


@pytest.fixture
def three(cluster: Cluster) -> Iterator[tuple[list[Program], Load]]:
    """Three instances that all get calls."""
    with cluster.control(), cluster.instances(*NAMES) as instances, cluster.load(RATE) as load:
        eventually_sync(lambda: set(load.by(time.time() - 1)) == set(NAMES), 20)
        yield instances, load


def test_one_is_killed(three: tuple[list[Program], Load]) -> None:
    (victim, *_), load = three
    since = time.time()
    victim.stop(signal.SIGKILL)
    load.goes_on(seconds(5, 20))
    load.unharmed()
    assert set(load.by(since + 3)) == {"auth-2", "auth-3"}


def test_one_falls_silent(three: tuple[list[Program], Load]) -> None:
    """Its connections stay open, and nothing answers on them."""
    (victim, *_), load = three
    load.goes_on(5)  # what a client may retry at once grows with what it calls
    since = time.time()
    os.kill(victim.process.pid, signal.SIGSTOP)
    load.goes_on(seconds(8, 30))
    os.kill(victim.process.pid, signal.SIGCONT)
    back = time.time()
    load.goes_on(2)
    load.unharmed()
    eventually_sync(lambda: "auth-1" in load.by(back), 30)
    load.unharmed(since)


@pytest.mark.parametrize("method", ["GetJwks", "Login"])
def test_all_are_replaced_one_after_the_other(cluster: Cluster, method: str) -> None:
    """No call fails, not even of a method that must not be called twice."""
    with cluster.control(), contextlib.ExitStack() as stack:
        old = [stack.enter_context(cluster.instance(name)) for name in NAMES]
        load = stack.enter_context(cluster.load(RATE, method))
        eventually_sync(lambda: set(load.by()) == set(NAMES), 20)
        for program, name in zip(old, NAMES, strict=True):
            assert program.stop() == 0
            stack.enter_context(cluster.instance(f"{name}-new"))
        load.goes_on(seconds(2, 10))
        load.unharmed()
        assert set(load.by(time.time() - 1)) == {f"{name}-new" for name in NAMES}


def test_one_is_added(three: tuple[list[Program], Load], cluster: Cluster) -> None:
    _, load = three
    with cluster.instance("auth-4"):
        since = time.time()
        eventually_sync(lambda: "auth-4" in load.by(since), 10)
        first = min(call["at"] for call in load.calls(since) if call.get("by") == "auth-4")
        assert first - since < 2
    load.unharmed()


def test_connections_are_dropped_and_refused_and_come_back(cluster: Cluster) -> None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(cluster.control())
        ports = stack.enter_context(claimed(dict.fromkeys(NAMES, 0)))
        proxies = [stack.enter_context(fault_proxy(("127.0.0.1", port))) for port in ports.values()]
        for name, proxy in zip(NAMES, proxies, strict=True):
            address = {"MESH_PORT": str(ports[name]), "MESH_ADVERTISE": f"127.0.0.1:{proxy.port}"}
            stack.enter_context(cluster.instance(name, **address))
        load = stack.enter_context(cluster.load(RATE))
        eventually_sync(lambda: set(load.by()) == set(NAMES), 20)
        for _ in range(int(seconds(2, 10))):
            for proxy in proxies:
                proxy.drop()
                load.goes_on(0.5)
            proxies[0].refuse()
            load.goes_on(2)
            proxies[0].restore()
        load.unharmed()
        restored = time.time()
        eventually_sync(lambda: set(load.by(restored)) == set(NAMES), 30)
