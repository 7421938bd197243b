"""What a piece of work costs: seconds on the wall clock, and seconds of CPU of the processes that do it."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
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
    """Of what is done inside the `with`, by `processes`. One that ends meanwhile is left out."""
    spent = Cost()
    before, begin = _cpu(processes), time.perf_counter()
    yield spent
    spent.wall = time.perf_counter() - begin
    spent.cpu = sum(seconds - before[process] for process, seconds in _cpu(list(before)).items())


def _cpu(processes: Sequence[psutil.Process]) -> Mapping[psutil.Process, float]:
    found = {}
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            found[process] = times.user + times.system
    return found
