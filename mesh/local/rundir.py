"""The one folder that holds everything a stack keeps: data, logs, secrets, sockets, state. Owner-only throughout."""

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mesh.local.errors import LocalError
from mesh.local.report import Report

_SOCKET_PATH_LIMIT = 90  # the kernel takes 107 bytes; supervisord adds ".<pid>" while it creates one


class RunDir:
    """Paths and small files below one run folder. Creating the object touches nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    def create(self) -> None:
        """Make the folder, or tighten the one that is there. Raises LocalError if it belongs to someone else."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.path.stat().st_uid != os.geteuid():
            raise LocalError(
                f"{self.path} belongs to another user: remove it, or set MESH_RUN_DIR to a folder of yours"
            )
        self.path.chmod(0o700)
        self.folder("logs")

    def folder(self, name: str) -> Path:
        """A sub-folder, made if it isn't there."""
        path = self.path / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def log(self, program: str) -> Path:
        """Where `program` writes its output."""
        return self.path / "logs" / f"{program}.log"

    def write(self, name: str, text: str) -> Path:
        """Put `text` in a file only its owner can read; a reader sees the old or the new text, never a part."""
        path = self.path / name
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w") as file:
            file.write(text)
        os.replace(temporary, path)  # noqa: PTH105 - same call, and it says that it replaces
        return path

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """`write` for `read_json`."""
        self.write(name, json.dumps(content, indent=2))

    def read_json(self, name: str) -> dict[str, Any]:
        """A file written by `write_json`, or {} if there is none."""
        try:
            content: dict[str, Any] = json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return {}
        return content

    def secret(self, name: str) -> tuple[Path, bool]:
        """File with a random password (192 bits, URL-safe) and whether this call made it."""
        path = self.folder("secrets") / name
        made = not path.exists()
        if made:
            self.write(f"secrets/{name}", secrets.token_urlsafe(24))
        return path, made

    @property
    def socket(self) -> Path:
        """The supervisor's socket: here, or in a private temporary folder where this path is too long for one."""
        path = self.path / "supervisor.sock"
        if len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT:
            return path
        return private_folder() / f"{hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]}.sock"

    @contextlib.contextmanager
    def lock(self, report: Report) -> Iterator[None]:
        """Only one process at a time changes a stack; the others wait and say for whom."""
        with open(self.path / "lock", "a+", opener=_private) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                report.line(f"waiting: process {file.read().strip() or '?'} is changing this stack")
                fcntl.flock(file, fcntl.LOCK_EX)
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def private_folder() -> Path:
    """A folder for sockets and port claims, below the temporary folder and this user's alone."""
    path = Path(tempfile.gettempdir()) / f"mesh-{os.geteuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    # Anyone may create this name first: never trust one that is a link, another user's or open to others.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise LocalError(f"{path} is not a private folder of this user: remove it, or set TMPDIR to another place")
    return path
