"""The Consul binary: the one on PATH if it has the right version, else built from source, once.

There is no package of it, and its own download site is one more place to trust; its Go module is pinned by go.sum.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from mesh.local.errors import LocalError
from mesh.local.report import Report
from mesh.local.tools.cache import provided
from mesh.local.tools.go import PINNED, toolchain

VERSION = "1.22.7"
_MODULE = Path(__file__).with_name("consul_module")
_PACKAGE = "github.com/hashicorp/consul"


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
    with toolchain(folder, cache, report) as go:
        environment = {**os.environ, **PINNED}
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
