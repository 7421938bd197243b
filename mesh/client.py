"""Calling: `connect` gives a channel to a service of the mesh by its name."""

import ipaddress
import json
import os
import uuid
from collections.abc import AsyncIterable, Callable, Iterable
from typing import Any

import grpc

from mesh import callers, contract
from mesh.settings import MeshSettings

MESSAGE_BYTES = 64 * 1024 * 1024
"""The largest answer a client takes."""


def xds_bootstrap(settings: MeshSettings) -> dict[str, Any]:
    """Where gRPC finds the control planes (gRFC A27).

    Those given by IPv4 address are one server with several addresses: when one is lost, the next address is tried at
    once. Listed as servers (A71), a lost one keeps what it told from changing until it is back, and the next is asked
    only for what is not known yet.
    """
    by_address = [server for server in settings.xds_servers if _is_ipv4(server)]
    by_name = [server for server in settings.xds_servers if server not in by_address]
    targets = ([f"ipv4:{','.join(by_address)}"] if by_address else []) + by_name
    return {
        "xds_servers": [
            {"server_uri": target, "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}
            for target in targets
        ],
        "node": {"id": settings.instance or f"client-{uuid.uuid4().hex[:12]}"},
    }


def _is_ipv4(server: str) -> bool:
    try:
        ipaddress.IPv4Address(server.rpartition(":")[0])
    except ValueError:
        return False
    return True


def connect(name: str, *, token: Callable[[], str | None] | None = None) -> grpc.aio.Channel:
    """A channel to the service registered as `name`, round robin over its healthy instances.

    `token` gives the access token to send; without it the token of the call being served is carried on. Each call
    has a deadline: its own, or its contract's. The channel belongs to the running event loop; use `async with`.
    """
    # gRPC reads it once, when the first xds channel of the process is made.
    os.environ.setdefault("GRPC_XDS_BOOTSTRAP_CONFIG", json.dumps(xds_bootstrap(MeshSettings.from_environment())))
    return grpc.aio.insecure_channel(
        f"xds:///{name}", options=channel_options(), interceptors=client_interceptors(token)
    )


def channel_options() -> list[tuple[str, Any]]:
    return [("grpc.max_receive_message_length", MESSAGE_BYTES)]


def client_interceptors(token: Callable[[], str | None] | None = None) -> list[grpc.aio.ClientInterceptor]:
    """What every outgoing call passes; grpc.aio wants a class for each kind of RPC."""
    outgoing = _Outgoing(token)
    return [_UnaryUnary(outgoing), _UnaryStream(outgoing), _StreamUnary(outgoing), _StreamStream(outgoing)]


class _Outgoing:
    def __init__(self, token: Callable[[], str | None] | None) -> None:
        self._token = token or _carried_on

    def details(self, given: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        """The call with its deadline and its token."""
        method = given.method.decode() if isinstance(given.method, bytes) else given.method
        metadata = grpc.aio.Metadata(*(given.metadata or ()))
        if metadata.get("authorization") is None and (token := self._token()):
            metadata.add("authorization", f"Bearer {token}")
        return grpc.aio.ClientCallDetails(
            method=given.method,
            timeout=given.timeout if given.timeout is not None else _default_deadline(method),
            metadata=metadata,
            credentials=given.credentials,
            wait_for_ready=given.wait_for_ready,
        )


def _carried_on() -> str | None:
    caller = callers.caller()
    return caller.token if caller else None


def _default_deadline(method: str) -> float | None:
    try:
        return contract.method(method).default_deadline_seconds
    except contract.ContractError:
        return None  # health, reflection and other services that have no contract of ours


class _UnaryUnary(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, outgoing: _Outgoing) -> None:
        self._outgoing = outgoing

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(self._outgoing.details(client_call_details), request)


class _UnaryStream(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, outgoing: _Outgoing) -> None:
        self._outgoing = outgoing

    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(self._outgoing.details(client_call_details), request)


class _StreamUnary(grpc.aio.StreamUnaryClientInterceptor):
    def __init__(self, outgoing: _Outgoing) -> None:
        self._outgoing = outgoing

    async def intercept_stream_unary(
        self,
        continuation: Callable[..., Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request_iterator: AsyncIterable[Any] | Iterable[Any],
    ) -> Any:
        return await continuation(self._outgoing.details(client_call_details), request_iterator)


class _StreamStream(grpc.aio.StreamStreamClientInterceptor):
    def __init__(self, outgoing: _Outgoing) -> None:
        self._outgoing = outgoing

    async def intercept_stream_stream(
        self,
        continuation: Callable[..., Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request_iterator: AsyncIterable[Any] | Iterable[Any],
    ) -> Any:
        return await continuation(self._outgoing.details(client_call_details), request_iterator)
