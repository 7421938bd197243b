"""Serving: `serve` is how a service runs; `Server` is the gRPC server inside it, usable without Consul."""

import asyncio
import contextlib
import inspect
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any

import grpc
import uvloop
from google.protobuf import descriptor_pool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from mesh import contract
from mesh.background import background
from mesh.interceptors import Interceptor, Rpc, intercepted, server_chain
from mesh.registry import Registration, Registry, RegistryError, registered
from mesh.settings import MeshSettings, SettingsError
from mesh.telemetry import configure_logging, logger
from mesh.token_keys import TokenKeys

DRAIN_SECONDS = 10.0
"""How long calls under way may take to end after SIGTERM."""
NOTICE_SECONDS = 1.0
"""How long new calls are still taken once Consul knows that the instance goes: until all callers know it too."""
MESSAGE_BYTES = 4 * 1024 * 1024
"""The largest message a server takes or sends, gRPC's own default."""

log = logger(__name__)


def server_options(message_bytes: int) -> list[tuple[str, Any]]:
    return [
        ("grpc.max_receive_message_length", message_bytes),
        ("grpc.max_send_message_length", message_bytes),
        ("grpc.so_reuseport", 0),  # a taken port is an error, not a share of it
        # grpcio keeps a header's parse error in its HPACK table, where it fails other callers' requests that came
        # over the same connection, as all do that come through a proxy. No table, no poison.
        ("grpc.http2.hpack_table_size.decoder", 0),
    ]


class _Recorder:
    """Stands in for a server while `add_XServicer_to_server` runs, and keeps what it would have registered."""

    def __init__(self) -> None:
        self.handlers: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        pass

    def add_registered_method_handlers(
        self, service: str, handlers: "dict[str, grpc.RpcMethodHandler[Any, Any]]"
    ) -> None:
        self.handlers[service] = handlers


def _handlers(servicer: object) -> "dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]]":
    """The RPCs of a servicer, by service and method, found by the generated class it derives from."""
    recorder = _Recorder()
    for base in type(servicer).__mro__:
        add = getattr(inspect.getmodule(base), f"add_{base.__name__}_to_server", None)
        if add is not None:
            add(servicer, recorder)
    if not recorder.handlers:
        raise contract.ContractError(f"{type(servicer).__name__} derives from no generated servicer")
    return recorder.handlers


class Server:
    """A gRPC server of servicers, each method behind the interceptors that its contract asks for.

    Needs no Consul and no control plane. Standard health and reflection are always there.
    """

    def __init__(
        self,
        *servicers: object,
        interceptors: Sequence[Interceptor] = (),
        require_contract: bool = True,
        message_bytes: int = MESSAGE_BYTES,
        described: Sequence[str] = (),
    ) -> None:
        """`described` are services of others that reflection here tells of too.

        Raises ContractError if a method has no policy, unless `require_contract` is False.
        """
        self._grpc = grpc.aio.server(options=server_options(message_bytes))
        self.health = health.aio.HealthServicer()
        self.services: list[str] = []
        for servicer in servicers:
            for service, handlers in _handlers(servicer).items():
                self.services.append(service)
                self._add(service, handlers, interceptors, require_contract)
        self._add_standard([*self.services, *described])

    def _add(
        self,
        service: str,
        handlers: "dict[str, grpc.RpcMethodHandler[Any, Any]]",
        interceptors: Sequence[Interceptor],
        require_contract: bool,
    ) -> None:
        wrapped = {}
        for name, handler in handlers.items():
            path = f"/{service}/{name}"
            try:
                policy = contract.method(path)
            except contract.ContractError:
                if require_contract:
                    raise
                policy = None
            rpc = Rpc(path, policy, client_streaming=handler.request_streaming)
            wrapped[name] = intercepted(interceptors, rpc, handler)
        self._grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, wrapped),))

    def _add_standard(self, services: list[str]) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._grpc)
        names = [*services, health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(names, self._grpc, pool=descriptor_pool.Default())

    async def start(self, host: str, port: int = 0, credentials: grpc.ServerCredentials | None = None) -> int:
        """Listens on `host`; port 0 picks a free one. Returns the port."""
        address = f"{host}:{port}"
        bound = (
            self._grpc.add_secure_port(address, credentials) if credentials else self._grpc.add_insecure_port(address)
        )
        await self._grpc.start()
        return bound

    async def set_serving(self, serving: bool, also: Sequence[str] = ()) -> None:
        """Answers health checks of every service, of `also` and of the server as a whole."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ["", *self.services, *also]:
            await self.health.set(name, status)

    async def stop(self, grace: float | None = None) -> None:
        await self._grpc.stop(grace)

    async def wait(self) -> None:
        await self._grpc.wait_for_termination()


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
