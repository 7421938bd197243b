"""The gRPC server of a service, usable without Consul; `mesh.serving` is how a service runs."""

import importlib
import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection

from mesh import contract
from mesh.health import Health
from mesh.interceptors import Incoming, Interceptor, intercepted
from mesh.interceptors.chain import received
from mesh.interceptors.errors import Errors
from mesh.interceptors.watches import Watches
from mesh.transport import MESSAGE_BYTES, server_options

_GENERATED = "_pb2_grpc"


class _Recorder:
    """Stands in for a server while `add_XServicer_to_server` runs, and keeps what it would have registered."""

    def __init__(self) -> None:
        self.handlers: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}

    def add_generic_rpc_handlers(self, added: Iterable[Any]) -> None:
        for service in added:
            methods = service._method_handlers  # which gRPC has no public way to list
            self.handlers[service.service_name()] = {path.rpartition("/")[2]: each for path, each in methods.items()}

    def add_registered_method_handlers(self, *_: object) -> None:
        """The same handlers once more, by code generated for gRPC 1.64 or later."""


def _handlers(servicer: object) -> "dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]]":
    """The RPCs of a servicer, by service and method, found by the generated class it derives from.

    It may also be what `grpc.method_handlers_generic_handler` makes.
    """
    recorder = _Recorder()
    if isinstance(servicer, grpc.ServiceRpcHandler):
        recorder.add_generic_rpc_handlers([servicer])
    for base in type(servicer).__mro__:
        module = inspect.getmodule(base)
        add = getattr(module, f"add_{base.__name__}_to_server", None)
        if module is not None and add is not None:
            add(servicer, recorder)
            if module.__name__.endswith(_GENERATED):
                # It imports the messages; the contract of the service is in here, which may be another file.
                importlib.import_module(module.__name__.removesuffix("_grpc"))
    if not recorder.handlers:
        raise contract.ContractError(f"{type(servicer).__name__} derives from no generated servicer")
    return recorder.handlers


def services_of(servicer: object) -> list[str]:
    """The gRPC services that a servicer implements, as `package.Service`. Raises ContractError if it does none."""
    return list(_handlers(servicer))


class _Methods(grpc.GenericRpcHandler):
    """All methods of a server, by their path."""

    def __init__(self) -> None:
        self.handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    def service(self, call: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Asked by gRPC in the task that serves the call."""
        handler = self.handlers.get(call.method)
        if handler is not None:
            received.set(call.invocation_metadata)
        return handler


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
        health_of: "Server | None" = None,
    ) -> None:
        """`described` are services of others that reflection here tells of too. With `health_of` another server it
        answers health checks for that one, and has no reflection.

        Raises ContractError if a method has no policy, unless `require_contract` is False.
        """
        self._grpc = grpc.aio.server(options=server_options(message_bytes))
        # Requests are read by a step of the chain; where the chain has none, by one before it.
        self._incoming = next((each for each in interceptors if isinstance(each, Incoming)), None) or Incoming()
        if self._incoming not in interceptors:
            interceptors = [self._incoming, *interceptors]
        self._methods = _Methods()
        self._grpc.add_generic_rpc_handlers((self._methods,))
        self._watches = Watches()
        self.health: Health = health_of.health if health_of else Health()
        self.services: list[str] = []
        for servicer in servicers:
            for service, handlers in _handlers(servicer).items():
                self.services.append(service)
                self._add(service, handlers, interceptors, require_contract)
        self._add_standard(self.health)
        if health_of is None:
            names = [*self.services, *described, health.SERVICE_NAME, reflection.SERVICE_NAME]
            self._add_standard(reflection.aio.ReflectionServicer(names, pool=descriptor_pool.Default()))

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
            wrapped[path] = intercepted(interceptors, path, policy, handler)
        self._methods.handlers.update(wrapped)

    def _add_standard(self, servicer: object) -> None:
        """Health and reflection: nothing limits them but that they, too, must say what they want, and end in a stop."""
        for service, handlers in _handlers(servicer).items():
            self._add(service, handlers, [Errors(), self._watches, self._incoming], require_contract=False)

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
        """Takes no new call and returns when those under way have ended, or were cut off after `grace` seconds.

        Without a grace they are cut off now. Calls that have not sent their message yet are not waited for.
        """
        self._incoming.stop()
        self._watches.stop()
        await self._grpc.stop(grace)

    async def wait(self) -> None:
        await self._grpc.wait_for_termination()
