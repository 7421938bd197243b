"""Losing Consul or the control plane stops changes, never traffic; certificates and roots change under load."""

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.chaos.cluster import Cluster, Load
from tests.chaos.conftest import seconds
from tests.eventually import eventually_sync
from tests.programs import Program

RATE = 100
NAMES = ("auth-1", "auth-2", "auth-3")


@pytest.fixture
def load(cluster: Cluster) -> Iterator[Load]:
    """On three instances that all get calls; there is no control plane any more unless the test starts one."""
    with cluster.instances(*NAMES), cluster.control(), cluster.load(RATE) as load:
        eventually_sync(lambda: set(load.by(time.time() - 1)) == set(NAMES), 20)
        yield load


def test_consul_is_away(load: Load, cluster: Cluster) -> None:
    with cluster.consul_away():
        load.goes_on(seconds(5, 60))
    load.goes_on(4)
    load.unharmed()
    since = time.time()
    with cluster.instance("auth-4"):  # and changes are seen again
        eventually_sync(lambda: "auth-4" in load.by(since), 20)
    load.unharmed()


def test_the_control_plane_is_away_and_another_is_started(cluster: Cluster) -> None:
    with cluster.instances(*NAMES), cluster.control() as control, cluster.load(RATE) as load:
        eventually_sync(lambda: set(load.by(time.time() - 1)) == set(NAMES), 20)
        control.process.kill()
        load.goes_on(seconds(5, 60))
        load.unharmed()
        with cluster.control(1), cluster.instance("auth-4"):
            since = time.time()
            eventually_sync(lambda: "auth-4" in load.by(since), 40)
        load.unharmed()


def serial(cluster: Cluster, service: str = "auth") -> str:
    answer = httpx.get(f"{cluster.consul}/v1/agent/connect/ca/leaf/{service}").json()
    return str(answer["SerialNumber"])


def taken(program: Program) -> int:
    return len(program.said("certificate taken"))


def test_certificates_are_replaced(cluster: Cluster) -> None:
    """An agent that starts anew has forgotten the certificates that it gave, and gives others."""
    with cluster.control(), cluster.instances(*NAMES) as instances, cluster.load(RATE) as load:
        before, first = [taken(instance) for instance in instances], serial(cluster)
        with cluster.consul_away():
            load.goes_on(1)
        eventually_sync(lambda: all(taken(i) > n for i, n in zip(instances, before, strict=True)), 20)
        assert serial(cluster) != first
        with cluster.load(RATE) as newcomer:  # it shakes hands with the new ones
            newcomer.goes_on(seconds(1, 10))
            newcomer.unharmed()
        load.goes_on(seconds(1, 10))
        load.unharmed()


def test_the_root_of_the_ca_is_replaced(cluster: Cluster) -> None:
    with cluster.control(), cluster.instances(*NAMES) as instances, cluster.load(RATE) as load:
        before = [taken(instance) for instance in instances]
        url = f"{cluster.consul}/v1/connect/ca/configuration"
        bits = httpx.get(url).json()["Config"].get("PrivateKeyBits", 256)
        config = {"LeafCertTTL": "72h", "PrivateKeyType": "ec", "PrivateKeyBits": 256 if bits == 384 else 384}
        httpx.put(url, json={"Provider": "consul", "Config": config}).raise_for_status()
        # the new root, and the certificate that it signed
        eventually_sync(lambda: all(taken(i) >= n + 2 for i, n in zip(instances, before, strict=True)), 30)
        with cluster.load(RATE) as newcomer:
            newcomer.goes_on(seconds(1, 10))
            newcomer.unharmed()
        with cluster.instances("auth-4", "auth-5"):
            for instance in instances:  # the others' connections are made anew
                assert instance.stop() == 0
            load.goes_on(1)
            load.unharmed()
