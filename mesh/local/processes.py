"""Finding and ending the processes of a stack, also those whose supervisor is gone."""

import contextlib
from collections.abc import Iterable
from pathlib import Path

import psutil

# Set for the supervisor and so for its children, never by a person. MESH_RUN_DIR wouldn't do: somebody may export that
# in a shell, and a shell must never be taken for a part of the stack.
MARK = "MESH_SUPERVISED"

# These write their title over their environment; they are known by where they run.
_TITLE_WRITERS = {"postgres", "valkey-server"}


def of_stack(run: Path) -> list[psutil.Process]:
    """Every living process that was started for the stack in `run`, whoever its parent is now. Never this process."""
    own = {psutil.Process().pid, *(parent.pid for parent in psutil.Process().parents())}
    return [process for process in psutil.process_iter() if process.pid not in own and _belongs(process, run)]


def _belongs(process: psutil.Process, run: Path) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if process.environ().get(MARK) == str(run):
            return True
        return process.name() in _TITLE_WRITERS and Path(process.cwd()).is_relative_to(run)
    except (psutil.Error, OSError):
        return False  # gone meanwhile, or another user's


def end(processes: Iterable[psutil.Process], grace_seconds: float) -> None:
    """Ask them to stop, wait, and kill what is left. `psutil` compares start times, so a reused pid is never hit."""
    waiting = list(processes)
    for process in waiting:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(waiting, timeout=grace_seconds)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=grace_seconds)
