"""Consul: one server agent with persistent data, the Connect CA and the UI, on loopback."""

import http.client
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, ClassVar

from mesh.local.components.base import Component, NotReadyError, numbers
from mesh.local.report import Report
from mesh.local.supervisor import Program
from mesh.local.tools.consul import consul


class Consul(Component):
    """CONSUL_HTTP_ADDR, with CONSUL_HTTP_TOKEN where the external one asks for a token."""

    name = "consul"
    variable = "CONSUL_HTTP_ADDR"
    wanted = "Consul 1.22 or later with Connect enabled"
    ports: ClassVar = {
        "consul": 8500,
        "consul-rpc": 8300,
        "consul-serf": 8301,
        "consul-grpc": 8502,
        "consul-grpc-tls": 8503,
    }

    def local_url(self) -> str:
        return f"http://127.0.0.1:{self.site.ports['consul']}"

    @classmethod
    def provide(cls, cache: Path, report: Report) -> None:
        consul(cache, report)

    def prepare(self) -> None:
        ports = self.site.ports
        settings = {
            "node_name": "local",
            "data_dir": str(self.site.run.folder("consul")),
            "bind_addr": "127.0.0.1",
            "client_addr": "127.0.0.1",
            "server": True,
            "bootstrap_expect": 1,
            "leave_on_terminate": False,
            "log_level": "WARN",
            "disable_update_check": True,
            "ui_config": {"enabled": True},
            "connect": {"enabled": True},
            "performance": {"raft_multiplier": 1},  # elect within a second: there is nobody to disagree
            "ports": {
                "http": ports["consul"],
                "server": ports["consul-rpc"],
                "serf_lan": ports["consul-serf"],
                "serf_wan": -1,
                "grpc": ports["consul-grpc"],
                "grpc_tls": ports["consul-grpc-tls"],
                "dns": -1,
            },
        }
        self.site.run.write("consul.json", json.dumps(settings, indent=2))

    def program(self) -> Program:
        binary = consul(self.site.cache, self.site.report)
        command = (str(binary), "agent", f"-config-file={self.site.run.path / 'consul.json'}")
        return Program(self.name, command, self.site.run.path)

    def check(self) -> str:
        if not self.get("/v1/status/leader"):
            raise NotReadyError("it has no leader")
        if not self.get("/v1/connect/ca/roots")["Roots"]:
            raise NotReadyError("Connect has no CA (it is not enabled)")
        return str(self.get("/v1/agent/self")["Config"]["Version"])

    def suits(self, version: str) -> bool:
        return numbers(version) >= (1, 22)

    def forget_services(self) -> None:
        """Drop the registrations that the agent kept from its last life: their processes are gone."""
        for service in self.get("/v1/agent/services"):
            self._call("PUT", f"/v1/agent/service/deregister/{urllib.parse.quote(service)}")

    def get(self, path: str) -> Any:
        """JSON that its API answers. Raises NotReadyError."""
        return json.loads(self._call("GET", path))

    def _call(self, method: str, path: str) -> bytes:
        base = self.url if "://" in self.url else f"http://{self.url}"  # Consul's own tools take both
        token = os.environ.get("CONSUL_HTTP_TOKEN")
        request = urllib.request.Request(  # noqa: S310 - the person who starts the stack gives the address
            base.rstrip("/") + path, method=method, headers={"X-Consul-Token": token} if token else {}
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310
                return bytes(response.read())
        except urllib.error.HTTPError as error:
            with error:
                raise NotReadyError(f"HTTP {error.code}: {error.read(200).decode(errors='replace').strip()}") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise NotReadyError(str(getattr(error, "reason", error))) from error
