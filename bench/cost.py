"""What a piece of work costs: seconds on the wall clock, and seconds of CPU of the processes that do it."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psutil


@dataclass
class Cost:
    """Zero until the work is done."""

    wall: float = 0.0
    """Seconds."""
    cpu: float = 0.0
    """Seconds of all processes together, in user and system mode."""


@contextlib.contextmanager
def cost(processes: Sequence[psutil.Process]) -> Iterator[Cost]:
    """Of what is done inside the `with`, by `processes`. They have to live until its end."""
    spent = Cost()
    cpu, wall = _cpu(processes), time.perf_counter()
    yield spent
    spent.wall = time.perf_counter() - wall
    spent.cpu = _cpu(processes) - cpu


def _cpu(processes: Sequence[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(each.user + each.system for each in times)
