"""How every part of a stack is doing, asked of the parts themselves, of Consul and of the supervisor."""

import socket
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import psutil

from mesh.local import breakers
from mesh.local.components import Component, Consul, NotReadyError
from mesh.local.plan import Plan
from mesh.local.supervisor import State, Supervisor

_LONGEST_NOTE = 160


@dataclass(frozen=True)
class Row:
    """The supervisor, a component, the control plane or an instance."""

    kind: str
    """component, control or service."""
    name: str
    address: str
    health: str
    """healthy, starting, or what is wrong: dead, unreachable, critical, warning, unregistered, unknown
    (while Consul is away), crashed, stopped."""
    version: str
    since: str
    """RFC 3339, UTC; empty if unknown."""
    restarts: int
    pid: int
    """0 if nothing of it runs here."""
    note: str
    """Why it isn't healthy, whom it does not call at the moment, or that it was given from outside."""

    @property
    def healthy(self) -> bool:
        return self.health == "healthy"


def rows(plan: Plan, supervisor: Supervisor) -> list[Row]:
    """Every part, components first. Takes as long as the slowest part, at most about 5 s."""
    alive = supervisor.alive()
    states = {state.name: state for state in supervisor.states()} if alive else {}
    crashes = supervisor.crashes()
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(_component, component, plan, states, crashes) for component in plan.components.values()]
        agent = registered(plan.components.get("consul"))
        found = [future.result() for future in asked]
        instances = list(pool.map(lambda name: _instance(name, agent, states, crashes, plan), plan.instances))
    found += [_control(name, address, plan, states, crashes) for name, address in plan.controls.items()]
    return [_supervisor(supervisor, alive), *found, *instances]


def _supervisor(supervisor: Supervisor, alive: bool) -> Row:
    version = metadata.version("supervisor")
    if not alive:
        note = "nothing is restarted any more: meshctl up or meshctl down ends what it left"
        return Row("component", "supervisor", "", "dead", version, "", 0, 0, note)
    process = psutil.Process(supervisor.pid)
    since = _rfc3339(process.create_time())
    return Row("component", "supervisor", "", "healthy", version, since, 0, process.pid, "")


def registered(consul: Component | None) -> dict[str, Any] | None:
    """What Consul's agent knows of each service instance: id -> its service.

    `Status` and `Output` are of the worst of its checks. None if there is no Consul in this stack or it doesn't answer.
    """
    if not isinstance(consul, Consul):
        return None
    try:
        services, checks = consul.get("/v1/agent/services"), consul.get("/v1/agent/checks")
    except NotReadyError:
        return None
    badness = {"passing": 0, "warning": 1, "critical": 2}
    for service in services.values():
        own = [check for check in checks.values() if check["ServiceID"] == service["ID"]]
        worst = max(own, key=lambda check: badness.get(check["Status"], 2), default={"Status": "passing", "Output": ""})
        service |= {"Status": worst["Status"], "Output": worst["Output"]}
    return dict(services)


def _component(component: Component, plan: Plan, states: Mapping[str, State], crashes: Counter[str]) -> Row:
    state = states.get(component.name)
    health, note = "healthy", "given from outside" if component.external else ""
    version = plan.choices.versions.get(component.name, "")
    try:
        version = component.ping() or version
    except NotReadyError as error:
        health, note = _failing(state, "unreachable"), str(error)
    return Row(
        "component",
        component.name,
        component.shown,
        health,
        version,
        _since(state),
        crashes[component.name],
        _pid(state),
        _stopped(state) or note,
    )


def _control(name: str, address: str, plan: Plan, states: Mapping[str, State], crashes: Counter[str]) -> Row:
    state, health, note = states.get(name), "healthy", ""
    try:
        connect(address)
    except NotReadyError as error:
        health, note = _failing(state, "unreachable"), str(error)
    version = plan.environment()["MESH_VERSION"]
    return Row(
        "control",
        name,
        address,
        health,
        version,
        _since(state),
        crashes[name],
        _pid(state),
        _stopped(state) or note,
    )


def _instance(
    name: str, agent: Mapping[str, Any] | None, states: Mapping[str, State], crashes: Counter[str], plan: Plan
) -> Row:
    state = states.get(name)
    entry = (agent or {}).get(name)
    if entry:
        health = "healthy" if entry["Status"] == "passing" else entry["Status"]
        address = f"{entry['Address']}:{entry['Port']}"
        version, since = entry["Meta"].get("version", ""), entry["Meta"].get("started") or _since(state)
        metrics_port = entry["Meta"].get("metrics_port", "")
        note = breakers.told(entry["Address"], metrics_port) if health == "healthy" else _line(entry["Output"])
    else:
        health, note = ("unregistered" if "consul" in plan.components else "healthy"), ""  # as far as anyone can tell
        if agent is None and "consul" in plan.components:
            health, note = "unknown", "Consul does not answer; callers go on with whom they know"
        address, version, since = "", plan.environment()["MESH_VERSION"], _since(state)
    if state is None or state.status not in {"RUNNING", "STARTING"}:
        health = _failing(state, "stopped")
        note = "its last words are in the log: meshctl logs " + name
    note = _stopped(state) or note
    return Row("service", name, address, health, version, since, crashes[name], _pid(state), note)


def connect(address: str) -> None:
    """Raises NotReadyError unless something accepts connections at `host:port`."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError as error:
        raise NotReadyError(str(error)) from error


def _failing(state: State | None, otherwise: str) -> str:
    if state is None:
        return otherwise
    named = {
        "STARTING": "starting",
        "BACKOFF": "crashed",
        "FATAL": "crashed",
        "EXITED": "crashed",
        "STOPPED": "stopped",
    }
    return named.get(state.status, otherwise)


def _pid(state: State | None) -> int:
    return state.pid if state else 0


def _stopped(state: State | None) -> str:
    """A process that a signal or a debugger holds looks like one that hangs."""
    try:
        held = state is not None and state.pid and psutil.Process(state.pid).status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        held = False
    return "its process is held: SIGSTOP or a debugger; kill -CONT lets it go on" if held else ""


def _line(text: str) -> str:
    """The first line of what a check said, without its end where that is long."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= _LONGEST_NOTE else f"{line[:_LONGEST_NOTE]}…"


def _since(state: State | None) -> str:
    if state is None or not state.since:
        return ""
    return _rfc3339(state.since)


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")
