"""The answers of one edition. They can't be stale: an edition never changes."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

Rows = Sequence[tuple[Any, ...]]


@dataclass
class _Asking:
    task: asyncio.Task[Rows]
    waiting: int = 0


class Answers:
    """Keeps answers, the least recently used leaving first, as long as they have no more rows than allowed in all."""

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._rows = 0
        self._kept: OrderedDict[Hashable, Rows] = OrderedDict()
        self._asked: dict[Hashable, _Asking] = {}

    async def get(self, question: Hashable, ask: Callable[[], Awaitable[Rows]]) -> Rows:
        """The answer, asked for once by however many want it at the same time; cancelled when nobody does any more."""
        if question in self._kept:
            self._kept.move_to_end(question)
            return self._kept[question]
        asking = self._asked.get(question)
        if asking is None:
            asking = self._asked[question] = _Asking(asyncio.create_task(self._ask(question, ask)))
        asking.waiting += 1
        try:
            return await asyncio.shield(asking.task)
        finally:
            asking.waiting -= 1
            if asking.waiting == 0:
                asking.task.cancel()
                if self._asked.get(question) is asking:
                    del self._asked[question]

    async def _ask(self, question: Hashable, ask: Callable[[], Awaitable[Rows]]) -> Rows:
        rows = await ask()
        self._keep(question, rows)
        return rows

    def _keep(self, question: Hashable, rows: Rows) -> None:
        self._kept[question] = rows
        self._rows += _weight(rows)
        while self._rows > self._max_rows:
            _, dropped = self._kept.popitem(last=False)
            self._rows -= _weight(dropped)


def _weight(rows: Rows) -> int:
    """An empty answer takes room too."""
    return max(1, len(rows))
