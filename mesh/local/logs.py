"""What the parts of a stack have written, and what the supervisor did to them."""

import itertools
import os
import re
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from mesh.local.errors import LocalError
from mesh.local.rundir import RunDir
from mesh.local.supervisor import LOG

_EVENT = re.compile(r"(?:spawned|exited|stopped|killing|spawnerr|gave up|success): '?(?P<name>[\w-]+)")
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
        """The last `count` lines of each log. Raises LocalError if there is no such program."""
        own = [path for path in self._paths() if _belongs(path.stem, name)]
        if not own:
            known = ", ".join(path.stem for path in self._paths()) or "nothing, as nothing has run yet"
            raise LocalError(f"there is no log of {name}; there is one of {known}")
        found: list[Line] = []
        for path in sorted({*own, self._folder / f"{LOG}.log"} & set(self._paths())):
            with path.open(errors="replace") as file:
                lines = (line.rstrip("\n") for line in file if _about(path, line, name))
                found += [(path.stem, line) for line in deque(lines, count)]
        return found

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


def _belongs(program: str, name: str) -> bool:
    return name in {"", program} or re.fullmatch(rf"{re.escape(name)}-\d+", program) is not None


def _about(path: Path, line: str, name: str) -> bool:
    if path.stem != LOG or name in {"", LOG}:
        return True
    event = _EVENT.search(line)
    return event is not None and _belongs(event["name"], name)
