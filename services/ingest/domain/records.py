"""Cuts text into records as RFC 4180 has them, and goes on behind what is malformed."""

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from services.ingest.domain.errors import RowTooLongError

LINE_LIMIT = 1024 * 1024
"""Characters; no real row comes near it."""
_LINES_OF_A_RECORD = 100
csv.field_size_limit(2 * LINE_LIMIT)  # of the whole process; Python's own would refuse a field of 128 KiB


class Text(Protocol):
    """A text file opened with `newline=""`."""

    def readline(self, size: int, /) -> str: ...


@dataclass(frozen=True)
class Record:
    raw: str
    """With its line end."""
    fields: list[str] | None
    """None: its quotes do not match."""


def records(text: Text) -> Iterator[Record]:
    """The records of a text, blank lines aside. Raises RowTooLongError.

    A quote that never closes would swallow all that follows. So where the quotes of a record don't match, only its
    first line counts as malformed, and the lines behind it are read again. The same goes for a record that is still
    open after 100 lines or LINE_LIMIT characters.
    """
    lines = _Lines(text)
    reader = csv.reader(lines, strict=True)
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except (csv.Error, _NeverClosed):
            yield Record(lines.give_back_all_but_first(), None)
            continue
        raw = lines.take()
        if fields:
            yield Record(raw, fields)


class _NeverClosed(Exception):  # noqa: N818 - never leaves this module
    pass


class _Lines:
    """What csv.reader reads from: remembers the lines of the current record and can give them again."""

    def __init__(self, text: Text) -> None:
        self._text = text
        self._again: deque[str] = deque()
        self._current: list[str] = []
        self._length = 0
        self._records = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self._current) == _LINES_OF_A_RECORD or self._length > LINE_LIMIT:
            raise _NeverClosed
        line = self._again.popleft() if self._again else self._text.readline(LINE_LIMIT + 1)
        if not line:
            raise StopIteration
        if len(line) > LINE_LIMIT:
            raise RowTooLongError(self._records, LINE_LIMIT)  # the header is record 0, and row 1 comes after it
        self._current.append(line)
        self._length += len(line)
        return line

    def take(self) -> str:
        """The text of the record, which is done."""
        raw = "".join(self._current)
        self._current.clear()
        self._length = 0
        self._records += bool(raw.strip("\r\n"))
        return raw

    def give_back_all_but_first(self) -> str:
        first, *rest = self._current
        self._again.extendleft(reversed(rest))
        self._current = [first]
        return self.take()
