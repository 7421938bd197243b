"""Consul, control planes, instances of a service and callers under load, each a process of its own to be broken."""

import contextlib
import itertools
import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mesh.local import Stack
from tests.chaos.caller import DEADLINE_SECONDS
from tests.eventually import eventually_sync
from tests.programs import Program, program
from tests.stacks import without

_SLACK_SECONDS = 0.5
"""How late a call may end after its deadline, on a machine that has other things to do too."""


@dataclass
class Load:
    """A caller that begins so many calls a second."""

    program: Program
    _lines: list[dict[str, Any]] = field(default_factory=list)
    _read: int = 0

    def lines(self) -> list[dict[str, Any]]:
        """All that it has written; each line is read once."""
        with self.program.output.open("rb") as output:
            output.seek(self._read)
            *whole, _ = output.read().split(b"\n")
        self._read += sum(len(line) + 1 for line in whole)
        self._lines += [json.loads(line) if line.startswith(b"{") else {"text": line.decode()} for line in whole]
        return self._lines

    def calls(self, since: float = 0, until: float = float("inf")) -> list[dict[str, Any]]:
        """The calls begun in that time that have ended."""
        return [line for line in self.lines() if since < line.get("at", 0) < until]

    def failures(self, since: float = 0, until: float = float("inf")) -> list[dict[str, Any]]:
        return [call for call in self.calls(since, until) if "code" in call]

    def by(self, since: float = 0, until: float = float("inf")) -> Counter[str]:
        """How many answers came from each instance."""
        return Counter(call["by"] for call in self.calls(since, until) if "by" in call)

    def goes_on(self, seconds: float) -> None:
        """Waits until the calls of so many seconds from now have been answered."""
        end = time.time() + seconds
        eventually_sync(lambda: self.calls(since=end), seconds + 2 * DEADLINE_SECONDS, 0.2)

    def told(self) -> dict[str, float]:
        """The counters of its client, at most a second old."""
        return next(line for line in reversed(self.lines()) if "told_at" in line)

    def figures(self) -> str:
        """All its calls in a line."""
        calls = self.calls()
        slowest = max(call["took"] for call in calls)
        return f"{len(calls):,} calls, {len(self.failures()):,} failed, slowest {slowest:.2f} s, {self.told()}"

    def unharmed(self, since: float = 0) -> None:
        """Asserts that calls were made, all succeeded, and none took longer than it may."""
        calls = self.calls(since)
        assert calls
        assert self.failures(since) == []
        self.punctual(since)

    def punctual(self, since: float = 0) -> None:
        """Asserts that nothing hung past its deadline."""
        assert max(call["took"] for call in self.calls(since)) < DEADLINE_SECONDS + _SLACK_SECONDS


@dataclass(frozen=True)
class Cluster:
    """One Consul, and the addresses of the control planes that follow it."""

    stack: Stack
    servers: tuple[str, ...]
    folder: Path
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    @property
    def consul(self) -> str:
        return self.stack.environment["CONSUL_HTTP_ADDR"]

    @contextlib.contextmanager
    def control(self, number: int = 0) -> Iterator[Program]:
        """A control plane at the address of this number, registered."""
        arguments = ("--listen", self.servers[number], "--contracts", "gen/contracts.binpb")
        with self._program("mesh.control", *arguments, MESH_INSTANCE=f"control-{number + 1}") as control:
            control.registered()
            yield control

    @contextlib.contextmanager
    def instance(self, name: str, **environment: str) -> Iterator[Program]:
        """An instance of the service, registered. At the end of the block it may be stopped, dead or frozen."""
        with self._program("tests.chaos.instance", MESH_INSTANCE=name, **environment) as started:
            try:
                started.registered()
                yield started
            finally:
                with contextlib.suppress(ProcessLookupError):
                    started.process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def instances(self, *names: str, **environment: str) -> Iterator[list[Program]]:
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(self.instance(name, **environment)) for name in names]

    @contextlib.contextmanager
    def load(self, rate: float, method: str = "GetJwks") -> Iterator[Load]:
        """A caller whose first calls have been answered."""
        with self._program("tests.chaos.caller", str(rate), method, MESH_INSTANCE="client") as started:
            load = Load(started)
            eventually_sync(load.calls, 20)
            yield load
            print(load.figures())  # `make chaos` shows it

    def consul_away(self) -> contextlib.AbstractContextManager[None]:
        return without(self.stack, "consul")

    def _program(self, module: str, *arguments: str, **environment: str) -> contextlib.AbstractContextManager[Program]:
        everything = self.stack.environment | {
            "MESH_XDS_SERVERS": ",".join(self.servers),
            "MESH_SERVICE": "demo",
            **environment,
        }
        output = self.folder / f"{next(self._numbers)}-{everything['MESH_INSTANCE']}.log"
        return program(module, *arguments, environment=everything, output=output)
