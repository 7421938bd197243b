"""Composes interceptors around the handlers of a service."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

import grpc

from mesh.contract import Method

# A request, or an iterator of requests, and the context -> the response; None where responses are streamed by
# `context.write`. One shape for all four kinds of RPC.
Handler = Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Awaitable[Any]]


@dataclass(frozen=True)
class Rpc:
    """What an interceptor may know of the method that it is bound to."""

    path: str
    policy: Method | None
    """None: the service has no contract of ours; only what needs no policy applies."""
    client_streaming: bool


class Interceptor(Protocol):
    def wrap(self, rpc: Rpc, proceed: Handler) -> Handler: ...


def intercepted(
    interceptors: Sequence[Interceptor], rpc: Rpc, handler: grpc.RpcMethodHandler[Any, Any]
) -> grpc.RpcMethodHandler[Any, Any]:
    """The same RPC with the interceptors around it, the first one outermost."""
    proceed = _handler(handler)
    for interceptor in reversed(interceptors):
        proceed = interceptor.wrap(rpc, proceed)
    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[(handler.request_streaming, handler.response_streaming)]
    wrapped: grpc.RpcMethodHandler[Any, Any] = make(
        proceed,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
    return wrapped


def _handler(handler: grpc.RpcMethodHandler[Any, Any]) -> Handler:
    behaviour: Any = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    if not inspect.isasyncgenfunction(behaviour):
        return behaviour  # type: ignore[no-any-return]

    async def write_each(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        responses: AsyncIterator[Any]
        async with aclosing(behaviour(request, context)) as responses:  # a cancelled call ends its generator now
            async for response in responses:
                await context.write(response)

    return write_each
