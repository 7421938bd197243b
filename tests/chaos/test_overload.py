"""Too much for what there is: everything gone, or three times what it can do."""

import time

import httpx

from mesh.live.follow import key
from tests.chaos.cluster import Cluster, Load
from tests.chaos.conftest import seconds
from tests.eventually import eventually_sync

RATE = 100
OPEN_SECONDS = 5.0  # the default (mesh/live/settings.py)
WORK_SECONDS = 0.2
AT_A_TIME = 20
CAPACITY = AT_A_TIME / WORK_SECONDS
WINDOWS = 3


def test_a_total_outage_costs_little_and_ends_at_once(cluster: Cluster) -> None:
    with cluster.control(), cluster.instance("auth-1") as instance, cluster.load(RATE) as load:
        load.goes_on(2)
        before, since = load.told(), time.time()
        instance.process.kill()
        load.goes_on(seconds(6, 30))
        eventually_sync(lambda: load.told()["breaker"] > 0)
        calls = len(load.calls(since))
        told = load.told()
        attempts = calls - (told["held_back"] - before["held_back"]) + told["retries"] - before["retries"]
        assert attempts <= 1.2 * calls
        assert {call["code"] for call in load.failures(since)} == {"UNAVAILABLE"}
        assert any(call["reason"] == "CIRCUIT_OPEN" and call["retry_after"] for call in load.failures(since))
        load.punctual()
        with cluster.instance("auth-2"):
            healed = time.time()
            eventually_sync(lambda: "auth-2" in load.by(healed), 20)
            first = min(call["at"] for call in load.calls(healed) if "by" in call)
            assert first - healed < OPEN_SECONDS + 1
            load.goes_on(2)
            assert load.failures(first + 1) == []


def p99(load: Load, since: float) -> float:
    took = sorted(call["took"] for call in load.calls(since) if "by" in call)
    return float(took[int(len(took) * 0.99)])


def shedding(load: Load) -> float:
    """The p99 of what is accepted in some seconds, all else being refused with the time to come back."""
    since = time.time()
    load.goes_on(seconds(3, 10))
    refused = load.failures(since)
    assert {call["reason"] for call in refused} == {"OVERLOADED"}
    assert all(call["retry_after"] for call in refused)
    accepted = len(load.calls(since)) - len(refused)
    assert accepted / (time.time() - since) > CAPACITY * 0.5
    return p99(load, since)


def test_three_times_the_load_is_shed(cluster: Cluster) -> None:
    settings = {
        "limits": {"max_concurrent_calls": AT_A_TIME, "max_queued_calls": AT_A_TIME // 4},
        "retry": {"max_attempts": 1},  # how long a call takes that is accepted, not one that is made again
    }
    url = f"{cluster.consul}/v1/kv/{key('auth')}"
    httpx.put(url, json=settings).raise_for_status()
    try:
        with cluster.control(), cluster.instance("auth-1", WORK_SECONDS=str(WORK_SECONDS)):
            with cluster.load(CAPACITY * 0.3) as load:
                load.goes_on(seconds(3, 10))
                assert load.failures() == []
                idle = p99(load, 0)
            with cluster.load(CAPACITY * 3) as load:
                load.goes_on(1)
                shed = [shedding(load) for _ in range(WINDOWS)]
                load.punctual()
            # Another program that takes the machine for a while spoils a window or two; a queue that grows, all.
            assert min(shed) <= 2 * idle
    finally:
        httpx.delete(url).raise_for_status()
