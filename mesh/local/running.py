"""A stack for the length of a `with`: for tests and benches."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import psutil

from mesh.local import processes
from mesh.local.report import Report, Silent
from mesh.local.stack import Stack

_PREFIX = "mesh-run-"


@contextlib.contextmanager
def running(
    components: Iterable[str] | None = (),
    services: Iterable[str] | None = (),
    *,
    control: bool | None = None,
    replicas: Mapping[str, int] | None = None,
    root: Path | None = None,
    environ: Mapping[str, str] | None = None,
    report: Report | None = None,
) -> Iterator[Stack]:
    """Start these parts of the project's stack in a fresh temporary run folder, yield it, and leave nothing behind.

        with running(["consul", "postgres"]) as stack:
            stack.environment["DATABASE_URL"]
        with running(None, None) as stack: ...            # everything that mesh.toml declares
        with running(["consul"], ["sales"], replicas={"sales": 3}) as stack: ...

    `components` are any of consul, postgres, valkey, spark, envoy, whether mesh.toml declares them or not (a lakehouse
    folder is always there); `services` are names from mesh.toml; None means all that it declares. `control` is whether
    its control plane runs: by default if a service or Envoy does and mesh.toml declares one. `root` is the project's
    folder, by default the nearest one upwards from here that has a mesh.toml. The environment of this process gives no
    addresses, `environ` does: a test never touches a database somebody exported by chance. Raises LocalError.
    """
    _end_abandoned()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    components = None if components is None else list(components)
    services = None if services is None else list(services)
    if control is None:
        control = services is None or bool(services) or components is None or "envoy" in components
    stack = Stack.load(
        root or project_root(Path.cwd()), run_dir=folder / "run", environ=environ or {},
        components=components, services=services, control=control, well_known_ports=False,
    )  # fmt: skip
    try:
        stack.up(replicas, report or Silent())
        yield stack
    finally:
        stack.down()
        shutil.rmtree(folder)


def project_root(start: Path) -> Path:
    """The nearest folder from `start` upwards that has a mesh.toml, else `start`."""
    return next((folder for folder in (start, *start.parents) if (folder / "mesh.toml").exists()), start)


def _end_abandoned() -> None:
    """A test process that was killed could not clean up: do it for those that are gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = int(folder.name.removeprefix(_PREFIX).partition("-")[0])
        with contextlib.suppress(FileNotFoundError):  # another test process is cleaning up too
            if not psutil.pid_exists(owner) and folder.stat().st_uid == os.geteuid():
                processes.end(processes.of_stack(folder / "run"), grace_seconds=5)
                shutil.rmtree(folder, ignore_errors=True)
