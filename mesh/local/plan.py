"""What a stack on this machine comes to: addresses, environment, programs, and the order to start them in."""

import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Self

from mesh.local.components import KINDS, Component, Site
from mesh.local.declaration import CONTROL, Declaration
from mesh.local.rundir import RunDir
from mesh.local.supervisor import Program

_STATE = "state.json"
_IMPLIED = {"lakehouse"}  # a folder costs nothing, and whoever has Spark needs one


@dataclass(frozen=True)
class Choices:
    """What `up` settled for as long as the stack runs; kept in its run folder, so that everyone finds it."""

    components: tuple[str, ...]
    services: tuple[str, ...]
    control: bool
    ports: Mapping[str, int]
    external: Mapping[str, str]
    """Address of each component that is used from outside."""
    replicas: Mapping[str, int]
    versions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, run: RunDir) -> Self | None:
        """Those of the stack in `run`; None if there are none."""
        content = run.read_json(_STATE)
        return cls(**content) if content else None

    def write(self, run: RunDir) -> None:
        """Keep them. Addresses may hold passwords, and the file is for its owner alone."""
        run.write_json(_STATE, asdict(self))

    @staticmethod
    def forget(run: RunDir) -> None:
        """The stack runs no more."""
        (run.path / _STATE).unlink(missing_ok=True)


def wanted_components(declaration: Declaration) -> list[type[Component]]:
    """The kinds to use, slowest first."""
    return [kind for name, kind in KINDS.items() if name in declaration.components | _IMPLIED]


def wanted_ports(declaration: Declaration, external: Mapping[str, str]) -> dict[str, int]:
    """Port names and preferred numbers of everything that will be started here."""
    wanted = {name: 18000 + number for number, name in enumerate(control_names(declaration))}
    for kind in wanted_components(declaration):
        if kind.name not in external:
            wanted |= kind.ports
    return wanted


def control_names(declaration: Declaration) -> list[str]:
    """`control`, `control-2`, ...: of the program of each control plane, and of its port."""
    replicas = declaration.control.replicas if declaration.control else 0
    return [CONTROL if number == 1 else f"{CONTROL}-{number}" for number in range(1, replicas + 1)]


class Plan:
    """A declaration made concrete by choices."""

    def __init__(self, declaration: Declaration, site: Site, choices: Choices) -> None:
        self.site = site
        self.choices = choices
        self.components = {
            kind.name: kind(site, choices.external.get(kind.name)) for kind in wanted_components(declaration)
        }
        self._declaration = declaration

    @property
    def instances(self) -> dict[str, str]:
        """Service of each instance: {"sales-1": "sales", ...}."""
        return {
            f"{name}-{number}": name
            for name, service in self._declaration.services.items()
            for number in range(1, self.choices.replicas.get(name, service.replicas) + 1)
        }

    @property
    def controls(self) -> dict[str, str]:
        """`host:port` of each control plane, by the name of its program."""
        return {name: f"127.0.0.1:{self.site.ports[name]}" for name in control_names(self._declaration)}

    def environment(self) -> dict[str, str]:
        """What a program of the project, or a client of the stack, needs to know."""
        known = {component.variable: component.url for component in self.components.values()}
        if self.controls:
            known["MESH_XDS_SERVERS"] = ",".join(self.controls.values())
        for variable, name in self._declaration.secrets.items():
            known[variable] = str(self.site.run.secret(name)[0])
        return known | {"MESH_RUN_DIR": str(self.site.run.path), "MESH_VERSION": self._declaration.version}

    @property
    def intentions(self) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
        """Who may call whom, as declared."""
        return self._declaration.intentions

    def check_external(self) -> dict[str, str]:
        """Versions of the components given from outside, checked side by side. Raises LocalError for the first bad."""
        given = [component for component in self.components.values() if component.external]
        with ThreadPoolExecutor() as pool:
            versions = list(pool.map(lambda component: component.require_external(), given))
        return {component.name: version for component, version in zip(given, versions, strict=True)}

    def programs(self) -> list[Program]:
        """Everything the supervisor has to know."""
        own = [component.program() for component in self.components.values() if not component.external]
        programs = [program for program in own if program]
        if self._declaration.control:
            for name, address in self.controls.items():
                command = (*self._declaration.control.command, "--listen", address)
                programs.append(self._project_program(name, CONTROL, command))
        for instance, service in self.instances.items():
            programs.append(self._project_program(instance, service, self._declaration.services[service].command))
        return programs

    def graph(self) -> dict[str, frozenset[str]]:
        """What each part waits for. Services wait for the control plane, since they find each other through it."""
        graph = {name: component.needs for name, component in self.components.items()}
        graph |= dict.fromkeys(self.controls, frozenset({"consul"}))
        for instance, service in self.instances.items():
            graph[instance] = self._declaration.services[service].needs | {"consul", *self.controls}
        return graph

    def _project_program(self, name: str, service: str, command: tuple[str, ...]) -> Program:
        interpreter = (sys.executable,) if command[0] == "python" else (command[0],)
        environment = {
            **self.environment(),
            "MESH_INSTANCE": name,
            "MESH_SERVICE": service,
            "PYTHONUNBUFFERED": "1",
            "GRPC_VERBOSITY": os.environ.get("GRPC_VERBOSITY", "NONE"),  # its own lines are no JSON, and say little
        }
        return Program(name, (*interpreter, *command[1:]), self.site.root, environment)
