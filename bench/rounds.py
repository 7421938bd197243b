"""How often both sides run: bounded in time, so that a slow or busy machine has fewer rounds and no endless bench."""

import time
from collections.abc import Iterator


def rounds(least: int, most: int, seconds: float) -> Iterator[int]:
    """From 0 to at most `most` - 1; after `least` rounds it ends when another one like them would last too long."""
    begin = time.monotonic()
    for number in range(most):
        if number >= least and (time.monotonic() - begin) * (number + 1) / number > seconds:
            return
        yield number
