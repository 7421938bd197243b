"""A cache of finished things (docs/adr/0003): each appears whole or not at all, and two at a time make it once."""

import fcntl
import os
import shutil
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from mesh.local.report import Report


def cache_folder() -> Path:
    """One for all projects of the user, below $XDG_CACHE_HOME or ~/.cache: a Consul takes minutes to build."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / _distribution()


@cache
def _distribution() -> str:
    """The name of the distribution that brought meshctl, whose tools these are."""
    found = (script.dist for script in entry_points(group="console_scripts", name="meshctl"))
    return next((distribution.name for distribution in found if distribution), "mesh")


def provided(target: Path, make: Callable[[Path], None], report: Report) -> Path:
    """`target`, a folder; if it isn't there, `make` fills a new one, which then takes its name.

    A second process waits for the first. What an interrupted one left is removed.
    """
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f".{target.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report.line(f"waiting: another process is making {target.name}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            unfinished = target.parent / f".{target.name}.part"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            make(unfinished)
            unfinished.rename(target)
    return target
