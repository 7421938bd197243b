"""Rates from counters, durations from buckets."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.telemetry.figures import Observed, destinations, methods, quantile, scraped

BOUNDS = (0.001, 0.01, 0.1, 1.0, 10.0)
SECONDS = st.floats(0.0005, 9.9)


def cumulative(seconds: list[float]) -> dict[float, float]:
    return {bound: float(sum(each <= bound for each in seconds)) for bound in (*BOUNDS, math.inf)}


@given(st.lists(SECONDS, min_size=1, max_size=50), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(seconds: list[float], share: float) -> None:
    true = sorted(seconds)[math.ceil(share * len(seconds)) - 1]
    got = quantile(cumulative(seconds), share)
    upper = next(bound for bound in BOUNDS if true <= bound)
    lower = max((bound for bound in BOUNDS if bound < upper), default=0.0)
    assert got is not None
    assert lower <= got <= upper


def test_quantiles_at_the_ends() -> None:
    assert quantile({}, 0.5) is None
    assert quantile(cumulative([]), 0.5) is None
    assert quantile(cumulative([60.0]), 0.99) == 10.0
    assert quantile({1.0: 2.0, math.inf: 2.0}, 0.5) == 0.5


def scrape(ok: int, failed: int, wrong: int = 0, active: int = 0) -> str:
    labels = 'service="shop.v1.ShopService",method="Buy"'
    return (
        f'mesh_server_calls_total{{{labels},code="OK"}} {ok}\n'
        f'mesh_server_calls_total{{{labels},code="UNAVAILABLE"}} {failed}\n'
        f'mesh_server_calls_total{{{labels},code="NOT_FOUND"}} {wrong}\n'
        f"mesh_server_calls_active{{{labels}}} {active}\n"
    )


def test_rates_are_summed_over_instances() -> None:
    one = Observed("shop", scraped(scrape(10, 0)), scraped(scrape(30, 10, 10, active=2)), 2.0)
    other = Observed("shop", scraped(scrape(0, 0)), scraped(scrape(20, 0, active=1)), 2.0)
    [row] = methods([one, other])
    assert (row.service, row.method, row.in_flight) == ("shop", "ShopService/Buy", 3)
    assert row.calls_per_second == 30
    assert row.errors_percent == pytest.approx(100 * 10 / 60)


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_no_rate_is_negative_when_a_process_begins_anew(before: int, after: int) -> None:
    rows = methods([Observed("shop", scraped(scrape(before, 0)), scraped(scrape(after, 0)), 1.0)])
    expected = after - before if after >= before else after
    assert [row.calls_per_second for row in rows] == ([expected] if after else [])


def test_a_destination_is_as_ill_as_its_worst_caller_finds_it() -> None:
    text = (
        'mesh_breaker_state{{destination="shop"}} {}\n'
        'mesh_client_calls_total{{destination="shop",method="/shop.v1.ShopService/Buy",code="OK"}} {}\n'
        'mesh_client_retries_total{{destination="shop",method="/shop.v1.ShopService/Buy"}} {}\n'
    )
    seen = [Observed("web", scraped(text.format(0, 0, 0)), scraped(text.format(state, 20, 4)), 2.0) for state in (0, 2)]
    for order in itertools.permutations(seen):
        [row] = destinations(order)
        assert (row.caller, row.destination, row.breaker) == ("web", "shop", "open")
        assert (row.calls_per_second, row.errors_percent, row.retries_per_second) == (20, 0, 4)
