"""The last snapshot on disk, for a control plane that starts while Consul is away. It holds no secret."""

import os
import tempfile
from pathlib import Path

from mesh.control.snapshot import Snapshot
from mesh.telemetry import logger

log = logger(__name__)


class Kept:
    """`control/snapshot.json` below the run folder; without one nothing is kept. Control planes may share it."""

    def __init__(self, run_dir: Path | None) -> None:
        self._file = run_dir / "control" / "snapshot.json" if run_dir else None

    def write(self, snapshot: Snapshot) -> None:
        """Replaces it as a whole, for its owner's eyes. A full disk is logged: what is served does not depend on it."""
        if self._file is None:
            return
        try:
            self._file.parent.mkdir(mode=0o700, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self._file.parent)  # 0600
            with os.fdopen(handle, "w") as file:
                file.write(snapshot.json)
            Path(temporary).replace(self._file)
        except OSError as problem:
            log.error("the snapshot is not kept", problem=str(problem))

    def read(self) -> Snapshot | None:
        """None: there is none, or none that can be read."""
        try:
            return Snapshot.from_json(self._file.read_bytes()) if self._file else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as problem:
            log.error("the kept snapshot cannot be read", problem=repr(problem))
            return None
