"""As many rounds as there is time for."""

import time
from collections.abc import Awaitable, Callable

import pytest

from bench.rounds import in_turns, rounds


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


async def test_sides_take_turns_and_each_of_them_begins_in_its_turn() -> None:
    begun: list[str] = []

    def side(name: str) -> Callable[[], Awaitable[float]]:
        async def once() -> float:
            begun.append(name)
            return float(len(begun))

        return once

    found = await in_turns({name: side(name) for name in "abc"}, rounds(3, 3, 100))
    assert "".join(begun) == "abc" + "bca" + "cab"
    assert found == {"a": [1, 6, 8], "b": [2, 4, 9], "c": [3, 5, 7]}
