"""`python -m mesh.control`: runs one control plane."""

import argparse
import contextlib
import importlib
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc
from envoy.service.discovery.v3 import ads_pb2_grpc
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from mesh.background import background
from mesh.contract import service_names
from mesh.control.ads import Ads
from mesh.control.resources import Edge, resources
from mesh.control.snapshot import Snapshot
from mesh.control.watch import Watch
from mesh.identity import held
from mesh.registry import Registration, Registry, registered
from mesh.serving import on_signal, registration_meta, run
from mesh.settings import MeshSettings, SettingsError
from mesh.telemetry import logger
from mesh.telemetry.process import observed
from mesh.transport import MESSAGE_BYTES, server_options

NAME = "control"
EDGE = "edge"
"""As whom Envoy calls services."""

log = logger(__name__)


async def control(listen: str | None, services: Sequence[str], edge: Edge | None) -> None:
    """Serves xDS on `listen`, or where MESH_XDS_SERVERS has the first control plane, until SIGTERM.

    `services` have a cluster even while no instance is registered.
    """
    settings = MeshSettings.from_environment()
    instance = settings.instance or f"{NAME}-{os.getpid()}"
    stopping = on_signal()
    ads = Ads()

    async with contextlib.AsyncExitStack() as stack:
        ports = await stack.enter_async_context(observed(NAME, instance, settings.host))
        identity = (await stack.enter_async_context(held(EDGE))).directory if edge else None

        def publish(snapshot: Snapshot) -> None:
            ads.publish(lambda view: resources(snapshot, view, edge=edge, identity=identity))

        host, port = await stack.enter_async_context(_serving(ads, listen or settings.xds_servers[0]))
        registration = Registration(NAME, instance, host, port, port, registration_meta(settings) | ports)
        registry = await stack.enter_async_context(Registry(settings.consul_url))
        watching = await stack.enter_async_context(background(Watch(registry, services, publish).run(), "watch"))
        watching.add_done_callback(lambda _: stopping.set())  # a defect: the supervisor shall see it end
        await stack.enter_async_context(registered(registry, registration))
        await stopping.wait()


@contextlib.asynccontextmanager
async def _serving(ads: Ads, address: str) -> AsyncIterator[tuple[str, int]]:
    """A server of ADS and of health checks at `host:port`, which it yields."""
    server = grpc.aio.server(options=server_options(MESSAGE_BYTES))
    ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(ads, server)
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    host, _, port = address.rpartition(":")
    try:
        server.add_insecure_port(address)
    except RuntimeError:
        raise SettingsError(f"nothing can listen on {address}: it is taken, or not of this machine") from None
    await server.start()
    for name in ("", NAME):
        await healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
    try:
        yield host, int(port)
    finally:
        await server.stop(1)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m mesh.control", description="Runs one control plane.")
    parser.add_argument("--listen", metavar="HOST:PORT", help="default: the first of MESH_XDS_SERVERS")
    parser.add_argument("--contracts", type=Path, help="descriptor set whose services always have a cluster")
    parser.add_argument("--edge", metavar="MODULE:FUNCTION", help="makes the edge's listeners and routes")
    given = parser.parse_args(arguments)
    edge = None
    if given.edge:
        module, _, function = given.edge.partition(":")
        edge = getattr(importlib.import_module(module), function)
    services = service_names(FileDescriptorSet.FromString(given.contracts.read_bytes())) if given.contracts else []
    run(control(given.listen, services, edge))


if __name__ == "__main__":
    main()
