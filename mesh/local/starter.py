"""Starting one part of a stack and waiting until it really answers."""

import time
from collections.abc import Callable, Mapping
from threading import Event

from mesh.local.components import Consul, NotReadyError
from mesh.local.errors import LocalError
from mesh.local.intentions import declare_intentions
from mesh.local.plan import Plan
from mesh.local.report import Report
from mesh.local.status import connect, registered
from mesh.local.supervisor import Supervisor

_PATIENCE_SECONDS = 60
_CRASHES_TO_GIVE_UP = 3
_SETTLED_SECONDS = 2
"""A service that nobody checks counts as up when it has lived this long."""


class Starter:
    """Starts the parts of a plan. `start` runs in several threads at a time."""

    def __init__(
        self, plan: Plan, supervisor: Supervisor, report: Report, versions: Mapping[str, str], *, fresh: bool
    ) -> None:
        self.versions = dict(versions)
        """Version of each component that has answered."""
        self._plan = plan
        self._supervisor = supervisor
        self._report = report
        self._fresh = fresh
        self._crashes_before = supervisor.crashes()

    def start(self, name: str, cancelled: Event) -> None:
        """Start one part; returns when it answers. Raises LocalError if it crashes repeatedly or takes too long."""
        begun = time.monotonic()
        where = (
            self._start_component(name, cancelled) if name in self._plan.components else self._start(name, cancelled)
        )
        what = f"{name} {self.versions.get(name, '')}".rstrip()
        self._report.line(f"{what} ready at {where} ({time.monotonic() - begun:.1f} s)" if where else f"{what} ready")

    def _start_component(self, name: str, cancelled: Event) -> str:
        component = self._plan.components[name]
        if not component.external:
            component.prepare()
            if component.program():
                self._supervisor.start(name)
            self.versions[name] = self._await(name, component.check, component.patience_seconds, cancelled)
            if self._fresh and isinstance(component, Consul):
                component.forget_services()
        if self._fresh and isinstance(component, Consul) and self._plan.intentions:
            declare_intentions(component.url, self._plan.intentions)
        return component.shown

    def _start(self, name: str, cancelled: Event) -> str:
        self._supervisor.start(name)
        check = (lambda: self._control(name)) if name in self._plan.controls else (lambda: self._instance(name))
        return self._await(name, check, _PATIENCE_SECONDS, cancelled)

    def _control(self, name: str) -> str:
        connect(self._plan.controls[name])
        return self._plan.controls[name]

    def _instance(self, name: str) -> str:
        """Address of the instance once Consul's health checks of it pass."""
        if "consul" not in self._plan.components:
            state = self._supervisor.state(name)
            if not state.pid or time.time() - state.since < _SETTLED_SECONDS:
                raise NotReadyError("it has only just started")
            return ""
        entry = (registered(self._plan.components["consul"]) or {}).get(name)
        if entry is None:
            raise NotReadyError("it has not registered itself in Consul")
        if entry["Status"] != "passing":
            raise NotReadyError(f"Consul finds it {entry['Status']}")
        return f"{entry['Address']}:{entry['Port']}"

    def _await(self, name: str, check: Callable[[], str], patience_seconds: float, cancelled: Event) -> str:
        deadline = time.monotonic() + patience_seconds
        while True:
            try:
                return check()
            except NotReadyError as error:
                reason = str(error)
            crashes = self._supervisor.crashes()[name] - self._crashes_before[name]
            if crashes >= _CRASHES_TO_GIVE_UP:
                raise LocalError(f"{name} crashed {crashes} times while starting. {self._last_words(name)}")
            if time.monotonic() > deadline:
                raise LocalError(
                    f"{name} is not ready after {patience_seconds:.0f} s: {reason}. {self._last_words(name)}"
                )
            if cancelled.wait(0.1):
                raise LocalError(f"the start of {name} was cancelled")

    def _last_words(self, name: str) -> str:
        log = self._plan.site.run.log(name)
        lines = log.read_text(errors="replace").splitlines()[-8:] if log.exists() else []
        return f"The end of {log}:\n" + "\n".join(f"  {line}" for line in lines)
