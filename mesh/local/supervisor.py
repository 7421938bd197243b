"""supervisord as a library: a generated configuration, and its XML-RPC on a Unix socket (docs/adr/0002)."""

import configparser
import contextlib
import http.client
import io
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mesh.local.errors import LocalError
from mesh.local.processes import MARK
from mesh.local.rundir import RunDir

CONFIG = "supervisord.conf"
LOG = "supervisor"


@dataclass(frozen=True)
class Program:
    """One process to keep running. The name is unique in the stack; it is also the name of its log."""

    name: str
    command: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = "TERM"
    stop_seconds: int = 15
    """After this long it is killed, with all processes of its group."""


@dataclass(frozen=True)
class State:
    """How a program is doing. `since` is the Unix time of its last start, 0 if it never ran."""

    name: str
    status: str
    """RUNNING, STARTING, BACKOFF (crashed, waits for the next try), STOPPED, STOPPING, EXITED or FATAL."""
    pid: int
    since: int
    exit_status: int


class Supervisor:
    """The supervisor of one run folder, running or not."""

    def __init__(self, run: RunDir) -> None:
        self._run = run

    def alive(self) -> bool:
        """Whether it answers on its socket."""
        try:
            return bool(self._call("getState"))
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return False

    def apply(self, programs: Iterable[Program]) -> None:
        """Make it know exactly these programs. New ones are added but not started; changed ones are restarted."""
        self._run.write(CONFIG, _configuration(self._run, programs))
        if not self.alive():
            self._spawn()
            return
        running = {state.name for state in self.states() if state.status in {"RUNNING", "STARTING", "BACKOFF"}}
        [[added, changed, removed]] = self._call("reloadConfig")
        self.stop([*removed, *changed])
        for name in [*removed, *changed]:
            self._call("removeProcessGroup", name)
        for name in [*changed, *added]:
            self._call("addProcessGroup", name)
        for name in changed:
            if name in running:
                self.start(name)

    def start(self, name: str) -> None:
        """Start a program unless it runs already; returns at once."""
        with contextlib.suppress(
            xmlrpc.client.Fault
        ):  # ALREADY_STARTED; what fails to spawn is retried and shows later
            self._call("startProcess", name, False)

    def stop(self, names: Iterable[str]) -> None:
        """Stop programs side by side; returns when all have ended (each is killed after its `stop_seconds`)."""
        waiting = set(names)
        for name in waiting:
            with contextlib.suppress(xmlrpc.client.Fault):  # NOT_RUNNING, BAD_NAME: nothing to stop
                self._call("stopProcess", name, False)
        while any(state.pid for state in self.states() if state.name in waiting):
            time.sleep(0.05)

    def states(self) -> list[State]:
        """All programs it knows."""
        return [
            State(info["name"], info["statename"], info["pid"], info["start"], info["exitstatus"])
            for info in self._call("getAllProcessInfo")
        ]

    def state(self, name: str) -> State:
        """One program. Raises KeyError if it doesn't know it."""
        return {state.name: state for state in self.states()}[name]

    def shutdown(self) -> None:
        """Ask it to stop everything and itself; returns at once."""
        self._call("shutdown")

    @property
    def pid(self) -> int:
        """Its process id."""
        return int(self._call("getPID"))

    def crashes(self) -> Counter[str]:
        """How often each program ended unasked since `up`, from the supervisor's log."""
        return Counter(match["name"] for line in self.log_lines() if (match := _CRASHED.search(line)))

    def log_lines(self) -> list[str]:
        """The supervisor's own log."""
        path = self._run.log(LOG)
        return path.read_text(errors="replace").splitlines() if path.exists() else []

    def _spawn(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._run.socket.unlink()  # a killed one leaves it, and a new one refuses to start on it
        with contextlib.suppress(FileNotFoundError):
            self._run.log(LOG).unlink()  # crashes are counted from it, per run
        # It daemonizes itself and returns when its socket listens: no child of ours is left to wait for.
        done = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "--configuration", str(self._run.path / CONFIG)],
            cwd=self._run.path,
            env={**os.environ, MARK: str(self._run.path)},
            umask=0o077,  # its own setting comes too late for its log
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise LocalError(f"the supervisor did not start: {(done.stderr or done.stdout).strip()}")

    def _call(self, method: str, *arguments: object) -> Any:
        transport = _UnixTransport(self._run.socket)
        with xmlrpc.client.ServerProxy("http://supervisor", transport=transport) as server:
            return getattr(server.supervisor, method)(*arguments)


_CRASHED = re.compile(r" exited: (?P<name>\S+) \(")  # one stopped on request is "stopped: ..."


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = _UnixConnection(self._path)
        self._connection = host, connection  # what `close` closes
        return connection


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("supervisor", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(os.fspath(self._path))
        except OSError:
            self.close()
            raise


def _configuration(run: RunDir, programs: Iterable[Program]) -> str:
    config = configparser.RawConfigParser(delimiters="=")
    config.optionxform = str  # type: ignore[assignment, method-assign]
    config["unix_http_server"] = {"file": _plain(str(run.socket)), "chmod": "0600"}
    config["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    config["supervisord"] = {
        "logfile": _plain(str(run.log(LOG))),
        "logfile_maxbytes": "10MB",
        "logfile_backups": "2",
        "pidfile": _plain(str(run.path / "supervisord.pid")),
        "directory": _plain(str(run.path)),
        "umask": "077",
    } | ({"user": "root"} if os.geteuid() == 0 else {})  # else it warns about every privilege it keeps
    for program in programs:
        config[f"program:{program.name}"] = {
            "command": _plain(shlex.join(program.command)),
            "directory": _plain(str(program.directory)),
            "environment": ",".join(_variable(*item) for item in sorted(program.environment.items())),
            "autostart": "false",  # the order is ours, see stack.py
            "autorestart": "true",
            "startsecs": "3",  # what lives shorter is started again after 1, 2, 3 ... s; what lives longer, at once
            "startretries": "1000000",
            "stopsignal": program.stop_signal,
            "stopwaitsecs": str(program.stop_seconds),
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": _plain(str(run.log(program.name))),
            "stdout_logfile_maxbytes": "20MB",
            "stdout_logfile_backups": "2",
        }
    text = io.StringIO()
    config.write(text)
    return text.getvalue()


def _plain(value: str) -> str:
    """`value` as supervisord reads it back. Its format cannot say everything: the rest is refused."""
    if re.search(r"\n|\s[;#]", value):
        raise LocalError(f"supervisord cannot take a value with a line break, ' ;' or ' #': {value}")
    return value.replace("%", "%%")


def _variable(name: str, value: str) -> str:
    if '"' in value:
        raise LocalError(f"supervisord cannot take a quote in an environment variable: {name}")
    return f'{name}="{_plain(value)}"'
