"""One stack on one machine: components, control plane and services, from `up` to `down`."""

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self

import psutil

from mesh.local import ports, processes, status
from mesh.local.components import KINDS, Site
from mesh.local.declaration import CONTROL, Declaration
from mesh.local.errors import LocalError
from mesh.local.order import in_order
from mesh.local.plan import Choices, Plan, control_names, wanted_components, wanted_ports
from mesh.local.report import Report, Silent
from mesh.local.rundir import RunDir
from mesh.local.starter import Starter
from mesh.local.supervisor import Supervisor
from mesh.local.tools.cache import cache_folder

_SHUTDOWN_SECONDS = 60


class Stack:
    """What `mesh.toml` of one project declares, run from one run folder. Not running until `up`."""

    def __init__(
        self, root: Path, run: RunDir, declaration: Declaration, environ: Mapping[str, str], *, well_known_ports: bool
    ) -> None:
        self.root = root
        self.run = run
        self.declaration = declaration
        self._environ = environ
        self._well_known_ports = well_known_ports
        self._cache = cache_folder()
        self._supervisor = Supervisor(run)

    @classmethod
    def load(
        cls,
        root: Path,
        *,
        run_dir: Path | None = None,
        environ: Mapping[str, str] | None = None,
        components: Iterable[str] | None = None,
        services: Iterable[str] | None = None,
        control: bool = True,
        well_known_ports: bool = True,
    ) -> Self:
        """The stack of the project in `root`.

        `run_dir` is $MESH_RUN_DIR or `root`/.run unless given; `environ` (default: this process's) is where addresses
        of components from outside are looked up; `components`, `services` and `control` narrow the declaration, None
        meaning all. Without `well_known_ports` it keeps out of the way of a stack that wants those. Raises LocalError.
        """
        environ = os.environ if environ is None else environ
        root = root.resolve()
        run = RunDir(run_dir or Path(environ.get("MESH_RUN_DIR") or root / ".run"))
        if unknown := (set(components or ()) - KINDS.keys()):
            raise LocalError(f"no such component: {', '.join(sorted(unknown))}; there are {', '.join(sorted(KINDS))}")
        declaration = Declaration.load(root).narrowed(components, services, control)
        return cls(root, run, declaration, environ, well_known_ports=well_known_ports)

    def up(self, replicas: Mapping[str, int] | None = None, report: Report | None = None) -> bool:
        """Start what doesn't run, scale services to `replicas`, and return when everything answers.

        Returns whether the stack was down before. On a running one addresses and replicas stay as they are unless told.
        If a start from nothing fails, everything it started is stopped again. Raises LocalError.
        """
        report = report or Silent()
        self.run.create()
        with self.run.lock(report), contextlib.ExitStack() as claims:
            before = Choices.read(self.run) if self._supervisor.alive() else None
            if before is None:
                self._end_leftovers(report)
            choices = self._choose(before, replicas or {}, claims, report)
            plan = self._plan(choices, report)
            versions = plan.check_external()
            for component in plan.components.values():
                if not component.external:
                    component.provide(self._cache, report)
            for name in self.declaration.secrets.values():
                path, made = self.run.secret(name)
                if made:
                    report.line(f"first start: made {name}, kept in {path}")
            try:
                choices.write(self.run)
                self._supervisor.apply(plan.programs())
                starter = Starter(plan, self._supervisor, report, versions, fresh=before is None)
                in_order(plan.graph(), starter.start)
                replace(choices, versions=starter.versions).write(self.run)
            except BaseException:
                if before is None:
                    self._stop(report)
                raise
            return before is None

    def provide(self, report: Report) -> None:
        """Get hold of every tool the components need: download or build what isn't there. Raises LocalError."""
        given = self._given()
        for kind in wanted_components(self.declaration):
            if kind.name not in given:
                kind.provide(self._cache, report)

    def down(self, report: Report | None = None) -> bool:
        """Stop everything, also what a killed supervisor left. Returns whether there was anything to stop."""
        report = report or Silent()
        if not self.run.path.exists():
            return False
        self.run.create()
        with self.run.lock(report):
            return self._stop(report)

    def status(self) -> list[status.Row]:
        """How every part is doing; empty if the stack isn't up."""
        choices = Choices.read(self.run)
        return status.rows(self._plan(choices, Silent()), self._supervisor) if choices else []

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the running stack's programs get: give them to a client. Raises LocalError if not up."""
        return self._running().environment()

    def address(self, name: str) -> str:
        """Address of a component (its URL, secrets included) or of `control`. Raises LocalError if not up."""
        plan = self._running()
        if name in plan.controls:
            return plan.controls[name]
        return plan.components[name].url

    def port(self, name: str) -> int:
        """A loopback port that the running stack chose, e.g. "envoy-admin". Raises LocalError if not up."""
        return self._running().site.ports[name]

    def _running(self) -> Plan:
        choices = Choices.read(self.run)
        if choices is None:
            raise LocalError(f"nothing runs in {self.run.path}: start it with meshctl up")
        return self._plan(choices, Silent())

    def _plan(self, choices: Choices, report: Report) -> Plan:
        declaration = self.declaration.narrowed(choices.components, choices.services, choices.control)
        controls = tuple(control_names(declaration))
        return Plan(declaration, Site(self.root, self.run, self._cache, report, choices.ports, controls), choices)

    def _choose(
        self, before: Choices | None, replicas: Mapping[str, int], claims: contextlib.ExitStack, report: Report
    ) -> Choices:
        if unknown := replicas.keys() - self.declaration.services.keys():
            raise LocalError(f"no such service: {', '.join(sorted(unknown))}")
        external = self._given() if before is None else self._unchanged(before)
        known = dict(before.ports) if before else {}
        wanted = {name: port for name, port in wanted_ports(self.declaration, external).items() if name not in known}
        chosen = claims.enter_context(ports.claimed(wanted if self._well_known_ports else dict.fromkeys(wanted, 0)))
        for name, port in chosen.items():
            if self._well_known_ports and wanted[name] != port:
                report.line(f"port {wanted[name]} is taken: {name} uses {port}")
        declared = {name: service.replicas for name, service in self.declaration.services.items()}
        return Choices(
            components=tuple(sorted(self.declaration.components)),
            services=tuple(sorted(self.declaration.services)),
            control=bool(self.declaration.control),
            ports=known | chosen,
            external=external,
            replicas=declared | (dict(before.replicas) if before else {}) | dict(replicas),
        )

    def _given(self) -> dict[str, str]:
        kinds = wanted_components(self.declaration)
        return {
            kind.name: self._environ[kind.variable]
            for kind in kinds
            if kind.replaceable and self._environ.get(kind.variable)
        }

    def _unchanged(self, before: Choices) -> dict[str, str]:
        current = self._plan(before, Silent()).components
        for name, url in self._given().items():
            if name in current and current[name].url != url:
                variable = current[name].variable
                raise LocalError(f"the running stack uses another {name} than {variable} says: run meshctl down first")
        return dict(before.external)

    def _stop(self, report: Report) -> bool:
        running = self._supervisor.alive()
        if running:
            supervisor = psutil.Process(self._supervisor.pid)
            names = {state.name for state in self._supervisor.states()}
            components = KINDS.keys() | {name for name in names if name.partition("-")[0] == CONTROL}
            # The edge takes no more, then services leave Consul while it is there to be told.
            self._supervisor.stop(names & {"envoy"})
            self._supervisor.stop(names - components)
            self._supervisor.stop(names & components)
            self._supervisor.shutdown()
            with contextlib.suppress(psutil.TimeoutExpired):
                supervisor.wait(_SHUTDOWN_SECONDS)
        left = self._end_leftovers(report)
        Choices.forget(self.run)
        return running or left

    def _end_leftovers(self, report: Report) -> bool:
        left = processes.of_stack(self.run.path)
        if left:
            report.line(f"ending {len(left)} processes that an earlier supervisor left")
            processes.end(left, grace_seconds=10)
        return bool(left)
