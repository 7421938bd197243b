"""`python -m mesh.control`: runs one control plane."""

import argparse
import asyncio
import contextlib
import importlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from prometheus_client import Info

from mesh.background import background
from mesh.contract import service_names
from mesh.control.ads import Ads
from mesh.control.inspection import META, inspection
from mesh.control.kept import Kept
from mesh.control.resources import Edge, resources
from mesh.control.snapshot import Snapshot
from mesh.control.watch import Watch
from mesh.identity import held
from mesh.interceptors.telemetry import Telemetry
from mesh.live.settings import Live
from mesh.registry import Registration, Registry, RegistryError, registered
from mesh.server import Server
from mesh.serving import on_signal, registration_meta, run
from mesh.settings import MeshSettings, SettingsError
from mesh.telemetry import logger
from mesh.telemetry.process import observed

NAME = "control"
EDGE = "edge"
"""As whom Envoy calls services."""
_PATIENCE_SECONDS = 3.0
"""How long a starting control plane waits for Consul before it serves what was kept."""
_AGAIN_SECONDS = 1.0
_KEEP_SECONDS = 1.0
"""The least time between two snapshots that are kept."""
_VERSION = Info("mesh_xds_version", "The snapshot that is served; control planes that agree have the same")

log = logger(__name__)


class _Plane:
    """What is served now, and where it came from."""

    def __init__(self, ads: Ads, kept: Kept, edge: Edge | None, identity: Path | None) -> None:
        self.snapshot: Snapshot | None = None
        self._ads = ads
        self._kept = kept
        self._edge = edge
        self._identity = identity
        self._from_consul = asyncio.Event()
        self._news = asyncio.Event()

    def publish(self, snapshot: Snapshot) -> None:
        """Serves what Consul says."""
        self._from_consul.set()
        if self.snapshot != snapshot:
            self._serve(snapshot)

    async def fall_back(self) -> None:
        """Serves what was kept if Consul says nothing for a while."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._from_consul.wait(), _PATIENCE_SECONDS)
        if not self._from_consul.is_set() and (snapshot := self._kept.read()) is not None:
            log.warning("consul is away, serving what was kept", version=snapshot.version)
            self._serve(snapshot)

    def _serve(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._news.set()
        self._ads.publish(lambda view: resources(snapshot, view, edge=self._edge, identity=self._identity))

    async def keep(self) -> None:
        """Keeps what is served and tells its version, for ever; not at each of many changes, since it takes a while."""
        while True:
            await self._news.wait()
            self._news.clear()
            if self.snapshot is not None:
                _VERSION.info({"version": self.snapshot.version})
                self._kept.write(self.snapshot)
            await asyncio.sleep(_KEEP_SECONDS)


async def control(listen: str | None, services: Sequence[str], edge: Edge | None) -> None:
    """Serves xDS on `listen`, or where MESH_XDS_SERVERS has the first control plane, until SIGTERM.

    `services` have a cluster even while no instance is registered. It also starts while Consul is away.
    """
    settings = MeshSettings.from_environment()
    instance = settings.instance or f"{NAME}-{os.getpid()}"
    stopping = on_signal()
    ads = Ads()

    async with contextlib.AsyncExitStack() as stack:
        ports = await stack.enter_async_context(observed(NAME, instance, settings.host))
        identity = await stack.enter_async_context(_edge_identity(settings)) if edge else None
        plane = _Plane(ads, Kept(settings.run_dir), edge, identity)
        admin = await stack.enter_async_context(inspection(ads, lambda: plane.snapshot, settings.host))
        host, port = await stack.enter_async_context(_serving(ads, listen or settings.xds_servers[0]))
        meta = registration_meta(settings) | ports | {META: str(admin)}
        registration = Registration(NAME, instance, host, port, port, meta)
        registry = await stack.enter_async_context(Registry(settings.consul_url))
        watching = await stack.enter_async_context(background(Watch(registry, services, plane.publish).run(), "watch"))
        watching.add_done_callback(lambda _: stopping.set())  # a defect: the supervisor shall see it end
        await stack.enter_async_context(background(plane.fall_back(), "fall-back"))
        await stack.enter_async_context(background(plane.keep(), "keep"))
        held_registration = _insist("registration", lambda: registered(registry, registration))
        await stack.enter_async_context(background(held_registration, "registration"))
        await stopping.wait()


@contextlib.asynccontextmanager
async def _edge_identity(settings: MeshSettings) -> AsyncIterator[Path]:
    """The directory of Envoy's certificate, kept fresh. It must hold one before Envoy is told of it."""
    if settings.run_dir is None:
        raise SettingsError("MESH_RUN_DIR is not set: it is the folder in which Envoy finds its certificate")
    directory, there = settings.run_dir / "identity" / EDGE, asyncio.Event()
    async with background(_insist("identity of the edge", lambda: held(EDGE), there), "edge-identity"):
        if not (directory / "current").exists():
            await there.wait()
        yield directory


async def _insist(
    what: str, make: Callable[[], AbstractAsyncContextManager[object]], there: asyncio.Event | None = None
) -> None:
    """Holds it from when Consul is there to give it, for ever."""
    while True:
        try:
            async with make():
                if there is not None:
                    there.set()
                await asyncio.Event().wait()
        except RegistryError as problem:
            log.warning("consul is away, trying again", wanted=what, problem=str(problem))
            await asyncio.sleep(_AGAIN_SECONDS)


@contextlib.asynccontextmanager
async def _serving(ads: Ads, address: str) -> AsyncIterator[tuple[str, int]]:
    """A server of ADS and of health checks at `host:port`, which it yields."""
    server = Server(ads, interceptors=[Telemetry(Live())], require_contract=False)
    host, _, port = address.rpartition(":")
    try:
        await server.start(host, int(port))
    except RuntimeError:
        raise SettingsError(f"nothing can listen on {address}: it is taken, or not of this machine") from None
    await server.set_serving(True, also=[NAME])
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
