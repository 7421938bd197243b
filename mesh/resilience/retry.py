"""Tries again what has failed once. Success pays nothing: nothing here is entered before a first failure."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import tenacity

from mesh.live.settings import Retry as Settings

T = TypeVar("T")

_LEAST_SECONDS = 0.01
"""An attempt that would have less time than this is not made: it could not end before the deadline."""


async def again(
    attempt: Callable[[], Awaitable[T]],
    failure: BaseException,
    settings: Settings,
    *,
    deadline: float | None,
    retryable: Callable[[BaseException], bool],
    pushed_back: Callable[[BaseException], float],
    spend: Callable[[], bool],
    before: Callable[[], None],
) -> T:
    """The result of `attempt`, made again after its first one has ended with `failure`.

    Between two attempts it waits what `pushed_back` says that the last failure asks for, plus a backoff: exponential,
    with full jitter. It stops at `deadline` (by `time.monotonic()`), when an attempt would have no time left, after
    `max_attempts`, at a failure that is not `retryable`, and where `spend` grants no retry; then the last failure is
    raised, at once. `before` is told of each retry.
    """
    pending: BaseException | None = failure

    async def first_has_failed() -> T:
        nonlocal pending
        if pending is not None:
            first, pending = pending, None
            raise first
        return await attempt()

    def stop(state: tenacity.RetryCallState) -> bool:
        if state.attempt_number >= settings.max_attempts:
            return True
        if deadline is not None and time.monotonic() + state.upcoming_sleep + _LEAST_SECONDS > deadline:
            return True
        return not spend()

    def push_back(state: tenacity.RetryCallState) -> float:
        assert state.outcome is not None  # noqa: S101 - it waits after an outcome
        error = state.outcome.exception()
        return pushed_back(error) if error is not None else 0.0

    backoff = tenacity.wait_random_exponential(
        multiplier=settings.first_backoff_seconds, max=settings.last_backoff_seconds
    )
    retrying = tenacity.AsyncRetrying(
        sleep=asyncio.sleep,
        stop=stop,
        wait=tenacity.wait_combine(backoff, push_back),
        retry=tenacity.retry_if_exception(retryable),
        before_sleep=lambda _: before(),
        reraise=True,
    )
    result: Any = await retrying(first_has_failed)
    return result  # type: ignore[no-any-return]
