"""Seconds from `up` to ready: a new run folder, and one that has been up before. All tools are in the cache."""

import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.results import Result
from bench.rounds import rounds
from mesh.local import Stack, project_root

_LEAST, _MOST, _SECONDS = 2, 3, 150
_AIM_SECONDS = 45.0


def measure() -> Sequence[Result]:
    first, second = [], []
    for _ in rounds(_LEAST, _MOST, _SECONDS):
        folder = Path(tempfile.mkdtemp(prefix="bench-start-"))
        stack = Stack.load(
            project_root(Path(__file__).parent), run_dir=folder / "run", environ={}, well_known_ports=False
        )
        try:
            first.append(_up(stack))
            stack.down()
            second.append(_up(stack))
        finally:
            stack.down()
            shutil.rmtree(folder)
    limit = [_AIM_SECONDS] * len(second)
    return [
        Result.of("start: new run folder / 45 s", first, limit, "s"),
        Result.of("start: second start / 45 s", second, limit, "s", aim=1.0),
    ]


def _up(stack: Stack) -> float:
    begin = time.monotonic()
    stack.up()
    return time.monotonic() - begin
