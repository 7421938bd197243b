"""What a process of the mesh takes from its environment, read here and nowhere else."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit


class SettingsError(Exception):
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
    """The address to listen on and to be found at. From MESH_HOST."""

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
        )
