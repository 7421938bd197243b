"""What a process of the mesh takes from its environment, read here and nowhere else.

Below are also the readers for a service's own settings: each takes the environment and the name of the variable, and
raises SettingsError by that name.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mesh.starting import StartError


class SettingsError(StartError):
    """A variable is missing or malformed; the message names it."""


@dataclass(frozen=True)
class MeshSettings:
    """Where the mesh is and who this process is in it."""

    consul_url: str
    """`http://host:port` of the local Consul agent. From CONSUL_HTTP_ADDR."""
    xds_servers: tuple[str, ...]
    """`host:port` of each control plane, in the order to try them. From MESH_XDS_SERVERS, separated by commas."""
    instance: str
    """This process among the instances of its service, for example `sales-1`. From MESH_INSTANCE."""
    version: str
    """The version of what is served. From MESH_VERSION."""
    host: str
    """The address to listen on, and to be found at unless `advertised` is another. From MESH_HOST."""
    port: int
    """The port to listen on; 0 picks a free one. From MESH_PORT."""
    advertised: tuple[str, int] | None
    """Where others find what listens here, if a proxy or a port mapping stands between. From MESH_ADVERTISE."""
    service: str
    """As whom this process calls others; a service that serves calls as itself. From MESH_SERVICE."""
    zone: str
    """Where this process runs: its calls stay there while they can. From MESH_ZONE."""
    run_dir: Path | None
    """Where what outlives the process may be kept, certificates for example. From MESH_RUN_DIR."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "MeshSettings":
        """Raises SettingsError."""
        consul = environment.get("CONSUL_HTTP_ADDR", "127.0.0.1:8500")
        consul = consul if "://" in consul else f"http://{consul}"
        parts = urlsplit(consul)
        try:
            sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            sound = False
        if not sound:
            raise SettingsError(f"CONSUL_HTTP_ADDR={consul!r} is not http://HOST:PORT")
        servers = tuple(filter(None, environment.get("MESH_XDS_SERVERS", "127.0.0.1:18000").split(",")))
        for server in servers:
            if not server.rpartition(":")[2].isdigit():
                raise SettingsError(f"MESH_XDS_SERVERS={server!r} is not HOST:PORT[,HOST:PORT...]")
        return cls(
            consul_url=consul,
            xds_servers=servers,
            instance=environment.get("MESH_INSTANCE", ""),
            version=environment.get("MESH_VERSION", "0"),
            host=environment.get("MESH_HOST", "127.0.0.1"),
            port=whole_number(environment, "MESH_PORT", 0, least=0, most=65_535),
            advertised=_advertised(environment.get("MESH_ADVERTISE", "")),
            service=_name(environment, "MESH_SERVICE"),
            zone=_name(environment, "MESH_ZONE"),
            run_dir=Path(run_dir) if (run_dir := environment.get("MESH_RUN_DIR")) else None,
        )


def _name(environment: Mapping[str, str], variable: str) -> str:
    value = environment.get(variable, "")
    if not re.fullmatch(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?", value):
        raise SettingsError(f"{variable}={value!r} is not a name of small letters, digits and hyphens")
    return value


def _advertised(value: str) -> tuple[str, int] | None:
    if not value:
        return None
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= 65_535:
        raise SettingsError(f"MESH_ADVERTISE={value!r} is not HOST:PORT")
    return host, int(port)


def text(environment: Mapping[str, str], name: str, default: str | None, pattern: str, expected: str) -> str:
    """A text that is `pattern` from end to end; without a default the variable has to be set.

    `expected` says what it is, as in "... is not {expected}".
    """
    value = environment.get(name, default)
    if not value:
        raise SettingsError(f"{name} is not set: it is {expected}")
    if not re.fullmatch(pattern, value):
        raise SettingsError(f"{name}={value!r} is not {expected}")
    return value


def whole_number(environment: Mapping[str, str], name: str, default: int, *, least: int, most: int) -> int:
    value = environment.get(name, str(default))
    if not re.fullmatch("[0-9]{1,18}", value) or not least <= int(value) <= most:
        raise SettingsError(f"{name}={value!r} is not a whole number from {least} to {most}")
    return int(value)


def number(environment: Mapping[str, str], name: str, default: float, *, least: float, most: float) -> float:
    """For example `0.5`; no exponent, no infinity."""
    value = environment.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,18})?", value) or not least <= float(value) <= most:
        raise SettingsError(f"{name}={value!r} is not a number from {least:g} to {most:g}")
    return float(value)
