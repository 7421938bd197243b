"""How often both sides run: bounded in time, so that a slow or busy machine has fewer rounds and no endless bench."""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping


def rounds(least: int, most: int, seconds: float) -> Iterator[int]:
    """From 0 to at most `most` - 1; after `least` rounds it ends when another one like them would last too long."""
    begin = time.monotonic()
    for number in range(most):
        if number >= least and (time.monotonic() - begin) * (number + 1) / number > seconds:
            return
        yield number


async def in_turns(
    sides: Mapping[str, Callable[[], Awaitable[float]]], numbers: Iterator[int]
) -> dict[str, list[float]]:
    """What each side finds in each round; who begins changes from round to round."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    order = list(sides)
    for number in numbers:
        first = number % len(order)
        for name in order[first:] + order[:first]:
            found[name].append(await sides[name]())
    return found
