"""As many rounds as there is time for."""

import time

import pytest

from bench.rounds import rounds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Its one value is the time."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("each", "expected"),
    [(1, 5), (20, 5), (25, 4), (30, 3), (50, 2), (1000, 2)],
)
def test_another_round_begins_only_if_it_will_end_in_time(clock: list[float], each: float, expected: int) -> None:
    begun = []
    for number in rounds(2, 5, 100):
        begun.append(number)
        clock[0] += each
    assert begun == list(range(expected))
