"""What the parts of a stack have written, and what the supervisor did to them."""

import contextlib
import itertools
import os
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from mesh.local.errors import LocalError
from mesh.local.rundir import RunDir
from mesh.local.supervisor import LOG

_EVENT = re.compile(r"(?:spawned|exited|stopped|killing|spawnerr|gave up|success): '?(?P<name>[\w-]+)")
_TIME = re.compile(r"(?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,6})?)\d*(?P<zone>Z| UTC|[+-]\d\d:?\d\d)?")
_GRPC_TIME = re.compile(r"[IWEF](\d\d)(\d\d) (\d\d:\d\d:\d\d\.\d{6})")
_POLL_SECONDS = 0.2

Line = tuple[str, str]
"""Name of the program, and what it wrote."""


class Logs:
    """The logs in one run folder.

    `name` is an instance ("sales-1"), a service ("sales": all its instances), a component, "control", "supervisor", or
    "" for everything. Together with a program's own lines come the supervisor's about it: crashes and restarts.
    """

    def __init__(self, run: RunDir) -> None:
        self._folder = run.path / "logs"

    def last(self, name: str, count: int) -> list[Line]:
        """The last `count` lines of each log, all by their times. Raises LocalError if there is no such program."""
        own = [path for path in self._paths() if _belongs(path.stem, name)]
        if not own:
            known = ", ".join(path.stem for path in self._paths())
            there = f"there is one of {known}" if known else f"nothing has run in {self._folder.parent}"
            raise LocalError(f"there is no log of {name or 'anything'}; {there}")
        found: list[Line] = []
        for path in sorted({*own, self._folder / f"{LOG}.log"} & set(self._paths())):
            with path.open(errors="replace") as file:
                lines = (line.rstrip("\n") for line in file if _about(path, line, name))
                found += [(path.stem, line) for line in deque(lines, count)]
        return [(program, line) for _, program, line in sorted(_timed(found), key=lambda each: each[0])]

    def follow(self, name: str) -> Iterator[Line]:
        """New lines as they are written, for ever; logs that appear or are rotated meanwhile are taken up."""
        files: dict[Path, TextIO] = {}
        try:
            for first in itertools.chain([True], itertools.repeat(False)):
                for path in self._paths():
                    if path not in files and (path.stem == LOG or _belongs(path.stem, name)):
                        files[path] = path.open(errors="replace")
                        files[path].seek(0, 2 if first else 0)
                for path in list(files):
                    yield from ((path.stem, line) for line in _new(files, path) if _about(path, line, name))
                time.sleep(_POLL_SECONDS)
        finally:
            for file in files.values():
                file.close()

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("*.log"))


def _new(files: dict[Path, TextIO], path: Path) -> Iterator[str]:
    """Whole lines since the last call. A half-written one waits for its rest."""
    file = files[path]
    while True:
        start = file.tell()
        line = file.readline()
        if not line.endswith("\n"):
            file.seek(start)
            break
        yield line.rstrip("\n")
    if not path.exists() or path.stat().st_ino != os.fstat(file.fileno()).st_ino:
        files.pop(path).close()  # rotated: its successor is opened, from its beginning, at the next turn


def _timed(lines: Iterable[Line]) -> Iterator[tuple[float, str, str]]:
    """With the Unix time of each; a line without one, of a traceback for example, is as old as the one before it."""
    latest: dict[str, float] = {}
    for program, line in lines:
        with contextlib.suppress(ValueError):  # it only looks like a time
            if found := _GRPC_TIME.match(line):  # gRPC's core: a day without its year
                latest[program] = _local(f"{datetime.now(UTC).year}-{found[1]}-{found[2]} {found[3]}")
            elif found := _TIME.search(line):
                latest[program] = _local(found["time"].replace(",", ".") + (found["zone"] or "").replace(" UTC", "Z"))
        yield latest.get(program, 0.0), program, line


def _local(text: str) -> float:
    """The Unix time of an ISO time, which is one of this machine's zone if it names none, as the supervisor's."""
    return datetime.fromisoformat(text).timestamp()


def _belongs(program: str, name: str) -> bool:
    return name in {"", program} or re.fullmatch(rf"{re.escape(name)}-\d+", program) is not None


def _about(path: Path, line: str, name: str) -> bool:
    if path.stem != LOG or name in {"", LOG}:
        return True
    event = _EVENT.search(line)
    return event is not None and _belongs(event["name"], name)
