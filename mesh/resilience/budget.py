"""How many retries a destination may get: a share of the calls, so that retries cannot keep it down."""

_WINDOW_SECONDS = 10


class Budget:
    """Counts the calls to one destination and the retries among them, over a window of ten seconds that slides by
    whole ones. Each operation takes the same small time, however much is counted.

    `now` is the seconds of a clock that does not go back, the same clock for all operations.
    """

    def __init__(self) -> None:
        self._calls = [0] * _WINDOW_SECONDS
        self._retries = [0] * _WINDOW_SECONDS
        self._calls_in_window = 0
        self._retries_in_window = 0
        self._second = 0

    def count(self, now: float) -> None:
        """A call is made; its retries are not calls."""
        second = int(now)
        if second != self._second:
            self._slide(second)
        self._calls[second % _WINDOW_SECONDS] += 1
        self._calls_in_window += 1

    def spend(self, now: float, ratio: float, floor_per_second: float) -> bool:
        """Takes a retry if there is one: in any window `ratio` of its calls, and `floor_per_second` for its seconds.

        The floor may be spent at once: an instance that falls silent fails the calls of seconds in one moment.
        """
        if self.remaining(now, ratio, floor_per_second) < 1:
            return False
        self._retries[self._second % _WINDOW_SECONDS] += 1
        self._retries_in_window += 1
        return True

    def remaining(self, now: float, ratio: float, floor_per_second: float) -> float:
        """How many retries there are now, fractions included."""
        second = int(now)
        if second != self._second:
            self._slide(second)
        granted = ratio * self._calls_in_window + floor_per_second * _WINDOW_SECONDS
        return max(granted - self._retries_in_window, 0.0)

    def _slide(self, second: int) -> None:
        for passed in range(max(self._second, second - _WINDOW_SECONDS) + 1, second + 1):
            slot = passed % _WINDOW_SECONDS
            self._calls_in_window -= self._calls[slot]
            self._retries_in_window -= self._retries[slot]
            self._calls[slot] = self._retries[slot] = 0
        self._second = second
