"""What a stack consists of, as the project declares it in `mesh.toml`.

    components = ["consul", "postgres", "valkey", "spark", "envoy"]

    [control]                                     # the control plane; leave the table out to run without one
    command  = ["python", "-m", "mesh.control"]
    replicas = 1                                  # several are told to every client, who takes the next if one is lost

    [services.auth]
    command  = ["python", "-m", "services.auth"]  # "python" is the interpreter that runs this
    needs    = ["consul", "postgres"]             # started only when these answer
    replicas = 1                                  # default 1

    [intentions.auth]                             # who may call it, applied to Consul at the start; all else is refused
    edge    = ["*"]                               # every method
    reports = ["shop.auth.v1.AuthService/Login"]  # or package.Service/*

    [secrets]                                     # made once at the first start, kept in the run folder
    ADMIN_PASSWORD_FILE = "admin-password"        # variable that names the file = file name

The project's version comes from its `pyproject.toml`. Unknown keys are refused by name.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mesh.local.errors import LocalError

CONTROL = "control"


@dataclass(frozen=True)
class Service:
    """A program of the project that the stack keeps running."""

    name: str
    command: tuple[str, ...]
    needs: frozenset[str] = frozenset()
    """Names of components that must answer before it starts."""
    replicas: int = 1


@dataclass(frozen=True)
class Declaration:
    """Everything `mesh.toml` says."""

    version: str = "0"
    components: frozenset[str] = frozenset()
    control: Service | None = None
    """The control plane, if there is one."""
    services: Mapping[str, Service] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    intentions: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    """Destination -> source -> methods, as mesh/intentions.py takes them."""

    @classmethod
    def load(cls, root: Path) -> "Declaration":
        """Read `root`/mesh.toml. Raises LocalError that names the file and the key."""
        path = root / "mesh.toml"
        try:
            content = tomllib.loads(path.read_text())
            project = _project(root)
            return cls(
                version=project.get("version", "0"),
                components=frozenset(content.pop("components", ())),
                control=_control(_table(content, "control")) if "control" in content else None,
                services={name: _service(name, table) for name, table in _table(content, "services").items()},
                secrets=dict(_table(content, "secrets")),
                intentions={name: _sources(name, table) for name, table in _table(content, "intentions").items()},
            )._without_rest(content)
        except FileNotFoundError:
            raise LocalError(
                f"{path} is missing: run this in the project's folder, or name it with --project"
            ) from None
        except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
            raise LocalError(f"{path}: {error}") from error

    def narrowed(
        self, components: Iterable[str] | None, services: Iterable[str] | None, control: bool
    ) -> "Declaration":
        """The part of it with only these components and services; None keeps all of a kind."""
        chosen = self.services
        if services is not None:
            wanted = set(services)
            if unknown := wanted - chosen.keys():
                raise LocalError(
                    f"no such service: {', '.join(sorted(unknown))}; there are {', '.join(sorted(chosen))}"
                )
            chosen = {name: service for name, service in chosen.items() if name in wanted}
        return replace(
            self,
            components=self.components if components is None else frozenset(components),
            services=chosen,
            control=self.control if control else None,
        )

    def _without_rest(self, rest: Mapping[str, Any]) -> "Declaration":
        if rest:
            raise ValueError(f"unknown key {', '.join(sorted(rest))}")
        return self


def _project(root: Path) -> Mapping[str, str]:
    path = root / "pyproject.toml"
    return tomllib.loads(path.read_text()).get("project", {}) if path.exists() else {}


def _table(content: dict[str, Any], name: str) -> dict[str, Any]:
    """Takes a table of tables, or of what they hold, out of `content`; empty if it is not there."""
    return _is_table(content.pop(name, {}), f"[{name}]")


def _is_table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be a table")
    return value


def _command(table: dict[str, Any], where: str) -> tuple[str, ...]:
    command = table["command"]
    if not isinstance(command, list) or not command or not all(isinstance(part, str) for part in command):
        raise ValueError(f'command in {where} must be a list of words, as in ["python", "-m", "hello"]')
    return tuple(command)


def _control(table: dict[str, Any]) -> Service:
    if unknown := table.keys() - {"command", "replicas"}:
        raise ValueError(f"unknown key {', '.join(sorted(unknown))} in [control]")
    return Service(CONTROL, _command(table, "[control]"), frozenset({"consul"}), _replicas(table, "[control]", 1))


def _service(name: str, table: Any) -> Service:
    where = f"[services.{name}]"
    if name == CONTROL:
        raise ValueError(f"{where}: the control plane has this name")
    if unknown := _is_table(table, where).keys() - {"command", "needs", "replicas"}:
        raise ValueError(f"unknown key {', '.join(sorted(unknown))} in {where}")
    replicas = _replicas(table, where, 0)
    return Service(name, _command(table, where), frozenset(table.get("needs", ())), replicas)


def _replicas(table: dict[str, Any], where: str, least: int) -> int:
    replicas = table.get("replicas", 1)
    if not isinstance(replicas, int) or replicas < least:
        raise ValueError(f"replicas in {where} must be a whole number from {least}")
    return replicas


def _sources(destination: str, table: Any) -> dict[str, tuple[str, ...]]:
    for source, methods in _is_table(table, f"[intentions.{destination}]").items():
        if not isinstance(methods, list) or not all(isinstance(method, str) for method in methods):
            raise ValueError(f"{source} in [intentions.{destination}] must be a list of methods")
    return {source: tuple(methods) for source, methods in table.items()}
