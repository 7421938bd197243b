"""Calling services of a stack from the test's own process, which may have to do with several stacks.

`mesh.connect` is for a process of one mesh: gRPC reads one xDS bootstrap a process. Here each channel has its own.
"""

import contextlib
import json
import tempfile
from collections.abc import AsyncIterator, Mapping
from functools import cache
from pathlib import Path

import grpc
from envoy.service.discovery.v3 import ads_pb2_grpc

from mesh.client.bootstrap import xds_bootstrap
from mesh.client.channel import MeshChannel
from mesh.control.ads import Ads
from mesh.control.resources import resources
from mesh.control.snapshot import Snapshot, Trust
from mesh.identity import Identity
from mesh.identity.credentials import channel_credentials
from mesh.identity.holder import Certificate
from mesh.registry import Instance, Registry
from mesh.settings import MeshSettings
from mesh.transport import channel_options

_BOOTSTRAP = "grpc.TEST_ONLY_DO_NOT_USE_IN_PROD.xds_bootstrap_config"


@contextlib.asynccontextmanager
async def connected(
    environment: Mapping[str, str], name: str, *, service: str = "demo", token: str | None = None
) -> AsyncIterator[grpc.aio.Channel]:
    """As `mesh.connect`, as `service`, by the control planes and the Consul of `environment`."""
    settings = MeshSettings.from_environment(environment)
    folder = Path(tempfile.mkdtemp(dir=_kept().name))
    async with Registry(settings.consul_url) as registry:
        identity = Identity(folder, Certificate(await registry.leaf(service), await registry.roots()))
    options = [*channel_options(), (_BOOTSTRAP, json.dumps(xds_bootstrap(settings, identity)))]
    inner = grpc.aio.secure_channel(f"xds:///{name}", channel_credentials(), options=options)
    async with MeshChannel(inner, name, token=lambda: token) as channel:
        yield channel


@cache
def _kept() -> "tempfile.TemporaryDirectory[str]":
    """For certificates, until the process ends: gRPC goes on reading them after a channel is closed."""
    return tempfile.TemporaryDirectory(prefix="mesh-test-")


@contextlib.asynccontextmanager
async def connected_to(
    instance: Instance, consul_address: str, *, service: str = "demo", token: str | None = None
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to this one instance, by a control plane that knows no other."""
    async with Registry(consul_address) as registry:
        trust = Trust((await registry.roots()).trust_domain, await registry.datacenter())
    snapshot = Snapshot({instance.service: (instance,)}, trust=trust)
    ads = Ads()
    ads.publish(lambda view: resources(snapshot, view))
    server = grpc.aio.server()
    ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(ads, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        environment = {"CONSUL_HTTP_ADDR": consul_address, "MESH_XDS_SERVERS": f"127.0.0.1:{port}"}
        async with connected(environment, instance.service, service=service, token=token) as channel:
            yield channel
    finally:
        await server.stop(None)
