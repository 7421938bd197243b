"""What the contracts say of each method, read from the descriptors and from nowhere else."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet, MethodOptions, ServiceDescriptorProto
from google.rpc import code_pb2

from mesh.starting import StartError
from mesh.v1 import options_pb2

CODES = {code.value[0]: code for code in grpc.StatusCode}
"""gRPC's status codes by their number in google.rpc.Code."""


class ContractError(StartError):
    """A service or a method does not say in its contract what the mesh must know."""


@dataclass(frozen=True)
class RateLimit:
    """How often one caller may call."""

    calls: int
    period_seconds: float


@dataclass(frozen=True)
class Method:
    """The policy of one method."""

    path: str
    """As on the wire: `/package.Service/Method`."""
    permission: str | None
    """What the caller's token must carry; None: the method is public."""
    default_deadline_seconds: float
    """For a call that brings no deadline."""
    retry_on: frozenset[grpc.StatusCode]
    """The codes on which it may be called again; empty unless calling it twice does no more than calling it once."""
    audited: bool
    max_concurrent_calls: int
    """0: no limit of its own."""
    rate_limit: RateLimit | None
    client_streaming: bool
    server_streaming: bool


def service_name(service: str) -> str:
    """The name under which the gRPC service `package.Service` is registered and found.

    Raises ContractError if the contract does not name it.
    """
    name: str = _service(service).GetOptions().Extensions[options_pb2.service_name]
    if not name:
        raise ContractError(f"{service} has no option (mesh.v1.service_name)")
    return name


@cache
def method(path: str) -> Method:
    """The policy of `/package.Service/Method`.

    Raises ContractError if the contract has no such method, or the method says not who may call it and how long it
    may take.
    """
    service, _, name = path.removeprefix("/").partition("/")
    described: MethodDescriptor | None = _service(service).methods_by_name.get(name)
    if described is None:
        raise ContractError(f"{service} has no method {name}")
    return _policy(path, described.GetOptions(), described.client_streaming, described.server_streaming)


def methods(service: str) -> Iterator[Method]:
    """The policies of all methods of the gRPC service `package.Service`."""
    return (method(f"/{service}/{described.name}") for described in _service(service).methods)


def service_names(described: FileDescriptorSet) -> list[str]:
    """The names by which the services of a descriptor set are found, each once."""
    return sorted({name for name, _, _ in _services(described)})


def methods_described(described: FileDescriptorSet) -> dict[str, list[Method]]:
    """The policies of all methods of a descriptor set, by the name under which their service is found.

    Raises ContractError for a method without a policy.
    """
    found: dict[str, list[Method]] = {}
    for name, full_name, service in _services(described):
        found.setdefault(name, []).extend(
            _policy(f"/{full_name}/{each.name}", each.options, each.client_streaming, each.server_streaming)
            for each in service.method
        )
    return found


def _services(described: FileDescriptorSet) -> Iterator[tuple[str, str, ServiceDescriptorProto]]:
    """The services that have a name to be found by, that name and `package.Service` first."""
    for file in described.file:
        for service in file.service:
            if name := service.options.Extensions[options_pb2.service_name]:
                yield name, f"{file.package}.{service.name}", service


def _service(name: str) -> ServiceDescriptor:
    try:
        return descriptor_pool.Default().FindServiceByName(name)
    except KeyError:
        raise ContractError(f"no contract of {name} has been imported") from None


def _policy(path: str, options: MethodOptions, client_streaming: bool, server_streaming: bool) -> Method:
    policy = options.Extensions[options_pb2.policy]
    # Neither `permission: ""` nor `public: false` opens a method to everybody.
    if not (policy.permission or policy.public) or not policy.HasField("default_deadline"):
        raise ContractError(f"{path} has no option (mesh.v1.policy) with its access and its default_deadline")
    idempotent = options.idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN
    limit = policy.rate_limit
    return Method(
        path=path,
        permission=policy.permission or None,
        default_deadline_seconds=policy.default_deadline.ToTimedelta().total_seconds(),
        retry_on=frozenset(map(CODES.__getitem__, policy.retry_on or [code_pb2.UNAVAILABLE] if idempotent else ())),
        audited=policy.audited,
        max_concurrent_calls=policy.max_concurrent_calls,
        rate_limit=RateLimit(limit.calls, limit.period.ToTimedelta().total_seconds()) if limit.calls else None,
        client_streaming=client_streaming,
        server_streaming=server_streaming,
    )
