"""A Consul, and control planes, services and clients on it, each a process of its own."""

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from mesh.local import Stack, running
from mesh.local.intentions import declare_intentions
from mesh.local.ports import claimed
from tests.eventually import eventually_sync
from tests.programs import Program, program
from tests.stacks import without

SERVICE = "auth"
"""The name under which the greeters are registered."""
CLIENT = "client"
"""As whom the callers call."""


@dataclass(frozen=True)
class Caller:
    """A client process that calls without a pause."""

    program: Program

    def answers(self, since: float = 0) -> list[dict[str, Any]]:
        """What became of the calls that it began after the moment `since`."""
        return [line for line in self.program.lines() if "at" in line and line["at"] > since]

    def failures(self, since: float = 0) -> list[dict[str, Any]]:
        return [answer for answer in self.answers(since) if "code" in answer]

    def by(self, since: float = 0) -> Counter[str]:
        """How many answers came from each instance."""
        return Counter(answer["by"] for answer in self.answers(since) if "by" in answer)


@dataclass(frozen=True)
class Plane:
    """One Consul, and the addresses of the control planes that follow it."""

    stack: Stack
    servers: tuple[str, ...]
    folder: Path
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    @contextlib.contextmanager
    def control(self, number: int = 0, *, until: str = "registered") -> Iterator[Program]:
        """A control plane at the address of this number, once it has said this."""
        arguments = ("--listen", self.servers[number], "--contracts", "gen/contracts.binpb")
        with self._program(f"control-{number + 1}", "mesh.control", *arguments) as control:
            eventually_sync(lambda: control.said(until), 20)
            yield control

    def believed(self, number: int = 0) -> dict[str, Any]:
        """What a control plane shows to operators."""
        consul = self.stack.environment["CONSUL_HTTP_ADDR"]
        registered = httpx.get(f"{consul}/v1/agent/service/control-{number + 1}").json()
        found: dict[str, Any] = httpx.get(f"http://127.0.0.1:{registered['Meta']['admin_port']}/").json()
        return found

    @contextlib.contextmanager
    def greeters(self, *instances: str, zone: str = "", version: str = "1") -> Iterator[list[Program]]:
        """Instances of the service, registered."""
        more = {"MESH_ZONE": zone, "MESH_VERSION": version}
        with contextlib.ExitStack() as stack:
            programs = [stack.enter_context(self._program(name, "tests.control.greeter", **more)) for name in instances]
            for greeter in programs:
                greeter.registered()
            yield programs

    @contextlib.contextmanager
    def caller(self, name: str = SERVICE, *, zone: str = "") -> Iterator[Caller]:
        """A client that has had an answer, whichever."""
        with self._program("client", "tests.control.caller", name, MESH_ZONE=zone) as started:
            caller = Caller(started)
            eventually_sync(caller.answers, 20)
            yield caller

    def consul_away(self) -> contextlib.AbstractContextManager[None]:
        return without(self.stack, "consul")

    def _program(
        self, instance: str, module: str, *arguments: str, **more: str
    ) -> contextlib.AbstractContextManager[Program]:
        environment = self.stack.environment | {
            "MESH_XDS_SERVERS": ",".join(self.servers),
            "MESH_INSTANCE": instance,
            "MESH_SERVICE": CLIENT,
            **more,
        }
        output = self.folder / f"{next(self._numbers)}-{instance}.log"
        return program(module, *arguments, environment=environment, output=output)


@pytest.fixture(scope="package")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """Consul, and two addresses for control planes, on which none runs yet."""
    with running(["consul"]) as stack, claimed({"one": 0, "two": 0}) as ports:
        declare_intentions(stack.environment["CONSUL_HTTP_ADDR"], {SERVICE: {CLIENT: ("*",)}})
        servers = tuple(f"127.0.0.1:{port}" for port in ports.values())
        yield Plane(stack, servers, tmp_path_factory.mktemp("plane"))
