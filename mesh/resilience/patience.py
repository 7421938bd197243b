"""Waiting for others who may never come: bounded in time and in number, with one timer for all who wait."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar, cast

T = TypeVar("T")


class OutOfPatienceError(Exception):
    """The wait was ended from this side."""


class TooLongError(OutOfPatienceError):
    """It took longer than it may."""


class CrowdedError(OutOfPatienceError):
    """More wait than may, and this one has waited longest."""


class Patience:
    """Waits that end after so many seconds.

    Where too many wait, the one that has waited longest gives way: what comes at all comes at once, so a crowd of
    those that never come does not keep out those that do. A wait costs no timer of its own, only an entry in a dict;
    it must be a task's own, since it is ended by cancelling the task inside the wait.
    """

    def __init__(self, seconds: float, most: int) -> None:
        """Of more than `most` waits the oldest is ended."""
        self._seconds = seconds
        self._most = most
        self._since: dict[asyncio.Task[object], float] = {}  # the oldest first
        self._ended: dict[asyncio.Task[object], OutOfPatienceError] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._since)

    async def wait(self, coming: Awaitable[T]) -> T:
        """What comes. Raises TooLongError or CrowdedError; a cancellation by others stays one."""
        loop = asyncio.get_running_loop()
        task = cast("asyncio.Task[object]", asyncio.current_task(loop))
        since = self._since
        if len(since) >= self._most:
            self._end(next(iter(since)), CrowdedError())
        now = since[task] = loop.time()
        if self._sweep is None:
            self._sweep = loop.call_at(now + self._seconds, self._swept)
        try:
            return await coming
        except asyncio.CancelledError:
            if (reason := self._ended.pop(task, None)) is None or task.uncancel():
                raise  # others want its end too
            raise reason from None
        finally:
            since.pop(task, None)

    def shorten(self, seconds: float) -> None:
        """From now on a wait may take so long, the time that it has taken already included."""
        self._seconds = seconds
        if self._sweep is not None:
            self._sweep.cancel()
            self._swept()

    def _swept(self) -> None:
        self._sweep = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        for task, since in list(self._since.items()):
            if since + self._seconds > now:
                self._sweep = loop.call_at(since + self._seconds, self._swept)
                return
            self._end(task, TooLongError())

    def _end(self, task: asyncio.Task[object], reason: OutOfPatienceError) -> None:
        del self._since[task]
        self._ended[task] = reason
        task.cancel()
