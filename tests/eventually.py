"""Waiting for something to become true, instead of sleeping and hoping."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(check: Callable[[], Awaitable[T]], timeout: float = 10, interval: float = 0.05) -> T:  # noqa: ASYNC109
    """Call `check` until it returns something true without raising, and return that.

    After `timeout` seconds, raises its last exception, or AssertionError with its last result. `interval`: seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            result = await check()
            if result:
                return result
            failure: Exception = AssertionError(f"still {result!r} after {timeout} s")
        except Exception as error:
            failure = error
        if time.monotonic() > deadline:
            raise failure
        await asyncio.sleep(interval)


def eventually_sync(check: Callable[[], T], timeout: float = 10, interval: float = 0.05) -> T:
    """`eventually` for tests without an event loop."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            result = check()
            if result:
                return result
            failure: Exception = AssertionError(f"still {result!r} after {timeout} s")
        except Exception as error:
            failure = error
        if time.monotonic() > deadline:
            raise failure
        time.sleep(interval)
