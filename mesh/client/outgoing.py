"""What happens to an outgoing call."""

from collections.abc import AsyncIterable, Callable, Iterable
from typing import Any

import grpc

from mesh import callers, contract


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
