"""The retry budget: what it grants is what a plain count of the last ten seconds grants."""

from hypothesis import given
from hypothesis import strategies as st

from mesh.resilience.budget import Budget

WINDOW = 10
gaps = st.one_of(st.just(0.0), st.floats(0, 0.5), st.floats(0, 30))
events = st.lists(st.tuples(gaps, st.booleans()), max_size=300)
ratios = st.floats(0, 1)
floors = st.floats(0, 20)
starts = st.floats(0, 1e9)


@given(starts, events, ratios, floors)
def test_it_grants_what_a_plain_count_does(
    start: float, events: list[tuple[float, bool]], ratio: float, floor: float
) -> None:
    budget = Budget()
    calls: list[int] = []
    retries: list[int] = []
    now = start
    for gap, is_call in events:
        now += gap
        second = int(now)
        if is_call:
            budget.count(now)
            calls.append(second)
            continue
        counted = sum(at > second - WINDOW for at in calls)
        granted = sum(at > second - WINDOW for at in retries)
        left = max(ratio * counted - granted, floor - retries.count(second), 0)
        assert budget.remaining(now, ratio, floor) == left
        assert budget.spend(now, ratio, floor) == (left >= 1)
        if left >= 1:
            retries.append(second)


@given(starts, events, ratios, floors)
def test_never_more_than_the_share_of_all_calls_and_the_floor_of_each_second(
    start: float, events: list[tuple[float, bool]], ratio: float, floor: float
) -> None:
    budget = Budget()
    calls = granted = 0
    now = start
    seconds = set()
    for gap, is_call in events:
        now += gap
        seconds.add(int(now))
        if is_call:
            budget.count(now)
            calls += 1
        else:
            granted += budget.spend(now, ratio, floor)
    assert granted <= ratio * calls + floor * len(seconds) + 1e-6


@given(starts, st.integers(0, 500), st.floats(10, 1e6))
def test_what_was_counted_is_forgotten_after_the_window(start: float, calls: int, later: float) -> None:
    budget = Budget()
    for _ in range(calls):
        budget.count(start)
    assert budget.remaining(start, 1.0, 0.0) == calls
    assert budget.remaining(int(start) + later, 1.0, 0.0) == 0


def test_a_floor_below_one_a_second_grants_nothing_by_itself() -> None:
    budget = Budget()
    assert not budget.spend(0.0, 0.1, 0.5)
    for _ in range(10):
        budget.count(0.0)
    assert budget.spend(0.0, 0.1, 0.5)
