"""A project of nothing but two tiny services, and one shared stack of it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.local import Stack

DECLARATION = """
components = ["consul", "postgres", "valkey"]

[services.worker]
command = ["python", "worker.py"]
needs = ["valkey"]

[services.idler]
command = ["python", "idler.py"]

[services.broken]
command = ["python", "-c", "raise SystemExit('the reason it broke')"]
replicas = 0

[secrets]
ADMIN_PASSWORD_FILE = "admin-password"
"""

IDLER = "import signal; print('idling', flush=True); signal.pause()"

# Registers itself and answers its health check, as any service does; its grandchild must not outlive it either.
WORKER = """
import datetime, http.server, json, os, signal, subprocess, sys, urllib.request

server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
port = server.server_address[1]

def consul(path, body=None):
    url = os.environ["CONSUL_HTTP_ADDR"] + path
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), method="PUT")).close()

name = os.environ["MESH_INSTANCE"]
consul("/v1/agent/service/register", {
    "Name": "worker", "ID": name, "Address": "127.0.0.1", "Port": port,
    "Meta": {"version": os.environ["MESH_VERSION"], "started": datetime.datetime.now(datetime.UTC).isoformat()},
    "Check": {"TCP": f"127.0.0.1:{port}", "Interval": "1s", "Status": "passing"},
})
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])

def stop(*_):
    consul(f"/v1/agent/service/deregister/{name}")
    sys.exit(0)

signal.signal(signal.SIGTERM, stop)
server.serve_forever()
"""


@pytest.fixture(scope="session")
def project() -> Iterator[Path]:
    """A folder with mesh.toml and the services."""
    folder = Path(tempfile.mkdtemp(prefix="project-"))
    (folder / "mesh.toml").write_text(DECLARATION)
    (folder / "pyproject.toml").write_text('[project]\nname = "project"\nversion = "7.8.9"\n')
    (folder / "worker.py").write_text(WORKER)
    (folder / "idler.py").write_text(IDLER)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="package")
def stack(project: Path) -> Iterator[Stack]:
    """Consul, PostgreSQL, Valkey and one worker, for tests that leave it as they found it."""
    shared = Stack.load(project, run_dir=project / "run", environ={}, services=["worker"], well_known_ports=False)
    shared.up()
    yield shared
    shared.down()


@pytest.fixture
def idle(project: Path, tmp_path: Path) -> Iterator[Stack]:
    """A stack of one service and no component: up in a second. Not started; whatever a test leaves is ended."""
    own = Stack.load(project, run_dir=tmp_path / "run", environ={}, components=[], services=["idler"])
    yield own
    own.down()


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder at the front of PATH, for pretended programs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def pretend(path: Path, script: str) -> Path:
    """Make `path` an executable shell script."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


class Told:
    """A report that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, label: str, done: int, total: int) -> None:
        self.lines.append(f"{label}: {done} of {total}")
