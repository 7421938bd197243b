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
        left = max(ratio * counted + floor * WINDOW - granted, 0)
        assert budget.remaining(now, ratio, floor) == left
        assert budget.spend(now, ratio, floor) == (left >= 1)
        if left >= 1:
            retries.append(second)


@given(starts, events, ratios, floors)
def test_never_more_than_the_share_of_all_calls_and_the_floor_of_each_window(
    start: float, events: list[tuple[float, bool]], ratio: float, floor: float
) -> None:
    budget = Budget()
    calls = granted = 0
    now = start
    first = int(start)
    for gap, is_call in events:
        now += gap
        if is_call:
            budget.count(now)
            calls += 1
        else:
            granted += budget.spend(now, ratio, floor)
    windows = (int(now) - first) // WINDOW + 1
    assert granted <= ratio * calls + floor * WINDOW * windows + 1e-6


@given(starts, st.integers(0, 500), st.floats(10, 1e6))
def test_what_was_counted_is_forgotten_after_the_window(start: float, calls: int, later: float) -> None:
    budget = Budget()
    for _ in range(calls):
        budget.count(start)
    assert budget.remaining(start, 1.0, 0.0) == calls
    assert budget.remaining(int(start) + later, 1.0, 0.0) == 0


def test_the_floor_of_a_window_may_be_spent_at_once() -> None:
    budget = Budget()
    assert [budget.spend(0.0, 0.1, 0.5) for _ in range(6)] == [True] * 5 + [False]
    for _ in range(10):
        budget.count(9.0)
    assert [budget.spend(9.0, 0.1, 0.5) for _ in range(2)] == [True, False]
    assert budget.spend(10.0, 0.1, 0.5)  # those of the first second are out of the window
