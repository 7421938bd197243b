"""Prometheus' counter and histogram without their locks, for what is counted in each call.

All who count are of one thread, the event loop's; that of the metrics port only reads.
"""

from bisect import bisect_left

import prometheus_client


class Counter(prometheus_client.Counter):
    def inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:
        self._value._value += amount


class Histogram(prometheus_client.Histogram):
    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        self._sum._value += amount
        self._buckets[bisect_left(self._upper_bounds, amount)]._value += 1
