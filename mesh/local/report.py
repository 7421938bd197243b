"""Where long work says what it does and how far it is."""

import sys
import time
from typing import Protocol, TextIO


class Report(Protocol):
    """Takes what `Stack` and the tools have to say while they work. Called from several threads."""

    def line(self, text: str) -> None:
        """One finished step or one fact worth knowing."""

    def progress(self, label: str, done: int, total: int) -> None:
        """`done` of `total` units of the work called `label`; may be called very often."""


class Silent:
    """Says nothing: for tests and for programs that have their own way of telling."""

    def line(self, text: str) -> None:
        """Drop it."""

    def progress(self, label: str, done: int, total: int) -> None:
        """Drop it."""


class Lines:
    """Writes lines with the seconds since the start; a counter that moves in place on a terminal, else every 10 s."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._start = time.monotonic()
        self._shown = 0.0
        self._live = self._stream.isatty()
        self._moving = False

    def line(self, text: str) -> None:
        """Write `text` on a line of its own."""
        self._write(text, end="\n")

    def progress(self, label: str, done: int, total: int) -> None:
        """Show the counter, at most ten times a second on a terminal."""
        now = time.monotonic()
        if now - self._shown < (0.1 if self._live else 10) and done < total:
            return
        self._shown = now
        share = f" ({100 * done // total} %)" if total else ""
        self._write(f"{label}: {done:,} of {total:,}{share}", end="" if self._live else "\n")

    def _write(self, text: str, end: str) -> None:
        elapsed = time.monotonic() - self._start
        erase = "\r\x1b[2K" if self._live and self._moving else ""
        self._moving = end == ""
        self._stream.write(f"{erase}{elapsed:6.1f} s  {text}{end}")
        self._stream.flush()
