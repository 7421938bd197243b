"""`python -m mesh.control`: runs one control plane."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import grpc
import uvloop
from envoy.service.discovery.v3 import ads_pb2_grpc
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from mesh.background import background
from mesh.contract import service_names
from mesh.control.ads import Ads
from mesh.control.resources import Edge, resources
from mesh.control.watch import Snapshot, Watch
from mesh.registry import Registration, Registry, registered
from mesh.server import MESSAGE_BYTES, on_signal, server_options
from mesh.settings import MeshSettings, SettingsError
from mesh.telemetry import configure_logging, logger

NAME = "control"

log = logger(__name__)


async def control(listen: str, services: Sequence[str], edge: Edge | None) -> None:
    """Serves xDS on `listen` until SIGTERM; `services` have a cluster even while no instance is registered."""
    settings = MeshSettings.from_environment()
    instance = settings.instance or f"{NAME}-{os.getpid()}"
    configure_logging(NAME, instance)
    stopping = on_signal()
    ads = Ads()

    def publish(snapshot: Snapshot) -> None:
        ads.publish(resources(snapshot, edge))

    host, _, port = listen.rpartition(":")
    server = grpc.aio.server(options=server_options(MESSAGE_BYTES))
    ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(ads, server)
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    if server.add_insecure_port(listen) != int(port):
        sys.exit(f"cannot listen on {listen}")
    await server.start()
    for name in ("", NAME):
        await healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
    registration = Registration(
        NAME,
        instance,
        host,
        int(port),
        int(port),
        {"version": settings.version, "started": datetime.now(UTC).isoformat(timespec="seconds")},
    )
    async with (
        Registry(settings.consul_url) as registry,
        background(Watch(registry, services, publish).run(), "watch") as watching,
        registered(registry, registration),
    ):
        watching.add_done_callback(lambda _: stopping.set())  # a defect: the supervisor shall see it end
        await stopping.wait()
    await server.stop(1)


def main(arguments: Sequence[str] | None = None) -> None:
    servers = MeshSettings.from_environment().xds_servers
    parser = argparse.ArgumentParser(prog="python -m mesh.control", description="Runs one control plane.")
    parser.add_argument("--listen", default=servers[0], metavar="HOST:PORT", help="default: %(default)s")
    parser.add_argument("--contracts", type=Path, help="descriptor set whose services always have a cluster")
    parser.add_argument("--edge", metavar="MODULE:FUNCTION", help="makes the edge's listeners and routes")
    given = parser.parse_args(arguments)
    edge = None
    if given.edge:
        module, _, function = given.edge.partition(":")
        edge = getattr(importlib.import_module(module), function)
    services = service_names(FileDescriptorSet.FromString(given.contracts.read_bytes())) if given.contracts else []
    try:
        uvloop.run(control(given.listen, services, edge))
    except SettingsError as problem:
        sys.exit(f"cannot start: {problem}")


if __name__ == "__main__":
    main()
