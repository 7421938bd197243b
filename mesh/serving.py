"""Serving: `serve` is how a service runs."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from datetime import UTC, datetime
from typing import Any

import grpc
import uvloop
from grpc_health.v1 import health_pb2_grpc

from mesh import contract
from mesh.background import background
from mesh.interceptors import server_chain
from mesh.registry import Registration, Registry, RegistryError, registered
from mesh.server import Server
from mesh.settings import MeshSettings, SettingsError
from mesh.telemetry import configure_logging, logger
from mesh.token_keys import TokenKeys
from mesh.transport import MESSAGE_BYTES, server_options

DRAIN_SECONDS = 10.0
"""How long calls under way may take to end after SIGTERM."""
NOTICE_SECONDS = 1.0
"""How long new calls are still taken once Consul knows that the instance goes: until all callers know it too."""

log = logger(__name__)


@contextlib.asynccontextmanager
async def _health_port(server: Server, host: str) -> AsyncIterator[int]:
    """A port for health checks and nothing else: the other one will ask every caller for a certificate."""
    checks = grpc.aio.server(options=server_options(MESSAGE_BYTES))
    health_pb2_grpc.add_HealthServicer_to_server(server.health, checks)
    port = checks.add_insecure_port(f"{host}:0")
    await checks.start()
    try:
        yield port
    finally:
        await checks.stop(None)


async def serve(*servicers: object, message_bytes: int = MESSAGE_BYTES) -> None:
    """Serves until SIGTERM or SIGINT: listens, registers in Consul last, and drains before it returns.

    The service's name comes from its contract. A second signal ends the process at once.
    Raises ContractError for a method without a policy, RegistryError if Consul cannot be reached at the start.
    """
    keys = TokenKeys()
    server = Server(*servicers, interceptors=server_chain(keys), message_bytes=message_bytes)
    name = contract.service_name(server.services[0])
    configure_logging(name, MeshSettings.from_environment().instance)
    async with Registry.from_environment() as registry, background(keys.follow(registry), "token-keys"):
        await serve_server(name, server)


async def serve_server(name: str, server: Server) -> None:
    """As `serve`, for a server that is made already, under the mesh name `name`."""
    settings = MeshSettings.from_environment()
    instance = settings.instance or f"{name}-{os.getpid()}"
    configure_logging(name, instance)
    stopping = on_signal()
    async with Registry(settings.consul_url) as registry:
        port = await server.start(settings.host)
        async with _health_port(server, settings.host) as health_port:
            await server.set_serving(True, also=[name])
            meta = {"version": settings.version, "started": datetime.now(UTC).isoformat(timespec="seconds")}
            registration = Registration(name, instance, settings.host, port, health_port, meta)
            try:
                async with registered(registry, registration):
                    await stopping.wait()
                    log.info("stopping", grace_seconds=DRAIN_SECONDS)
                    await server.set_serving(False, also=[name])
                await asyncio.sleep(NOTICE_SECONDS)
            finally:
                await server.stop(DRAIN_SECONDS)
    log.info("stopped")


def on_signal() -> asyncio.Event:
    """Set at the first SIGTERM or SIGINT; the second ends the process at once."""
    stopping = asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            os._exit(1)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    return stopping


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs a service's `main` on uvloop. A setting that is missing or malformed ends it with one line, not a trace."""
    configure_logging("starting", os.environ.get("MESH_INSTANCE", ""))
    try:
        uvloop.run(main)
    except (SettingsError, contract.ContractError, RegistryError) as problem:
        sys.exit(f"cannot start: {problem}")
