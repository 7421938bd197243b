"""Serving: `serve` is how a service runs."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from datetime import UTC, datetime
from typing import Any

import uvloop

from mesh import contract
from mesh.identity import server_credentials
from mesh.membership import Membership, joined
from mesh.registry import Registration, registered
from mesh.server import Server, services_of
from mesh.settings import MeshSettings
from mesh.starting import StartError
from mesh.telemetry import configure_logging, logger
from mesh.telemetry.process import observed
from mesh.transport import MESSAGE_BYTES

DRAIN_SECONDS = 10.0
"""How long calls under way may take to end after SIGTERM."""
NOTICE_SECONDS = 1.0
"""How long new calls are still taken once Consul knows that the instance goes: until all callers know it too."""

log = logger(__name__)


@contextlib.asynccontextmanager
async def _health_port(server: Server, host: str) -> AsyncIterator[int]:
    """A port for health checks and nothing else: the other one will ask every caller for a certificate."""
    checks = Server(health_of=server)
    port = await checks.start(host)
    try:
        yield port
    finally:
        await checks.stop(None)


async def serve(*servicers: object, message_bytes: int = MESSAGE_BYTES) -> None:
    """Serves until SIGTERM or SIGINT: listens, registers in Consul last, and drains before it returns.

    The service's name comes from its contract. A second signal ends the process at once.
    Raises ContractError for a method without a policy, RegistryError if Consul cannot be reached at the start.
    """
    name = contract.service_name(services_of(servicers[0])[0])
    configure_logging(name, MeshSettings.from_environment().instance)
    async with joined(name) as member:
        await serve_server(Server(*servicers, interceptors=member.interceptors(), message_bytes=message_bytes), member)


async def serve_server(server: Server, member: Membership) -> None:
    """As `serve`, for a server that is made already."""
    settings, name = MeshSettings.from_environment(), member.service
    instance = settings.instance or f"{name}-{os.getpid()}"
    stopping = on_signal()
    async with observed(name, instance, settings.host) as ports, _health_port(server, settings.host) as health_port:
        port = await server.start(settings.host, settings.port, credentials=server_credentials(member.identity))
        await server.set_serving(True, also=[name])
        meta = registration_meta(settings) | ports
        address = settings.advertised or (settings.host, port)
        registration = Registration(name, instance, *address, health_port, meta, settings.host)
        try:
            async with registered(member.registry, registration):
                await stopping.wait()
                log.info("stopping", grace_seconds=DRAIN_SECONDS)
                await server.set_serving(False, also=[name])
            await asyncio.sleep(NOTICE_SECONDS)
        finally:
            await server.stop(DRAIN_SECONDS)
    log.info("stopped")


def registration_meta(settings: MeshSettings) -> dict[str, str]:
    """What an instance tells of itself in Consul."""
    meta = {"version": settings.version, "started": datetime.now(UTC).isoformat(timespec="seconds")}
    return meta | ({"zone": settings.zone} if settings.zone else {})


def on_signal() -> asyncio.Event:
    """Set at the first SIGTERM or SIGINT; the second ends the process at once, even if a handler blocks the loop."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    asked = False

    def stop(*_: object) -> None:
        nonlocal asked
        if asked:
            os._exit(1)
        asked = True
        loop.call_soon_threadsafe(stopping.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return stopping


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs a service's `main` on uvloop. A StartError ends it with one line, not a trace."""
    configure_logging("starting", os.environ.get("MESH_INSTANCE", ""))
    try:
        uvloop.run(main)
    except StartError as problem:
        sys.exit(f"cannot start: {problem}")
