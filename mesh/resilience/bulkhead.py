"""So many at a time; a few more wait their turn, and not for long; the rest is refused at once."""

import asyncio
from collections.abc import Callable
from typing import Protocol


class FullError(Exception):
    """No place, and none came free in time."""


class Places(Protocol):
    """How many are let in. Read at each use, so that it may change at any time."""

    @property
    def max_concurrent_calls(self) -> int: ...
    @property
    def max_queued_calls(self) -> int: ...
    @property
    def queue_seconds(self) -> float: ...


class Bulkhead:
    """Places for work. Who enters must leave, whatever happens:

    if not bulkhead.enter():
        await bulkhead.queue()
    try:
        ...
    finally:
        bulkhead.leave()

    Who waits is let in first come, first served. It belongs to one event loop.
    """

    def __init__(self, places: Callable[[], Places]) -> None:
        self._places = places
        self._queue: dict[asyncio.Future[None], None] = {}
        self.in_flight = 0

    @property
    def queued(self) -> int:
        return len(self._queue)

    def enter(self) -> bool:
        """Takes a place, if one is free and nobody waits for it."""
        if self._queue or self.in_flight >= self._places().max_concurrent_calls:
            return False
        self.in_flight += 1
        return True

    async def queue(self) -> None:
        """Waits for a place and takes it. Raises FullError; who is cancelled has no place."""
        self._let_in()  # more may be let in than when the others came
        if self.enter():
            return
        places = self._places()
        if len(self._queue) >= places.max_queued_calls:
            raise FullError
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._queue[turn] = None
        limit = loop.call_later(places.queue_seconds, self._give_up, turn)
        try:
            await turn
        except asyncio.CancelledError:
            self._queue.pop(turn, None)
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()  # its turn came just before its end
            raise
        finally:
            limit.cancel()

    def leave(self) -> None:
        self.in_flight -= 1
        if self._queue:
            self._let_in()

    def _let_in(self) -> None:
        while self._queue and self.in_flight < self._places().max_concurrent_calls:
            turn = next(iter(self._queue))
            del self._queue[turn]
            if not turn.done():  # not cancelled in this very moment
                self.in_flight += 1
                turn.set_result(None)

    def _give_up(self, turn: "asyncio.Future[None]") -> None:
        if turn in self._queue and not turn.done():
            del self._queue[turn]
            turn.set_exception(FullError())
