"""Composes interceptors around the handlers of a service."""

from __future__ import annotations

import asyncio
import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeAlias

import grpc

from mesh.contract import Method
from mesh.interceptors.blocking import blocks, in_threads

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

# A request, or the `Messages` of a client stream, and the context -> the response; None where
# responses are streamed by `context.write`. One shape for all four kinds of RPC. Before Incoming has run, the first
# argument is of no use.
Handler = Callable[[Any, Context], Awaitable[Any]]


_SETTLING_SECONDS = 0.005

received: ContextVar[tuple[tuple[str, Any], ...] | None] = ContextVar("received", default=None)
"""The metadata of the call being served, where the server has kept it: gRPC makes it anew whenever it is asked."""


def metadata(context: Context) -> Iterable[tuple[str, Any]]:
    """What came with a call, each key as often as it came."""
    known = received.get()
    return known if known is not None else context.invocation_metadata() or ()


@dataclass(frozen=True)
class Rpc:
    """What an interceptor may know of the method that it is bound to."""

    path: str
    policy: Method | None
    """None: the service has no contract of ours; only what needs no policy applies."""
    client_streaming: bool
    server_streaming: bool
    parse: Callable[[bytes], Any] | None
    """Makes a request of a message; None: it stays bytes."""


class Messages(ABC):
    """The messages of a client stream, to iterate over, or to read one by one until `grpc.aio.EOF`."""

    @abstractmethod
    async def read(self) -> Any: ...

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if (message := await self.read()) is grpc.aio.EOF:
            raise StopAsyncIteration
        return message


class Interceptor(Protocol):
    def wrap(self, rpc: Rpc, proceed: Handler) -> Handler: ...


def intercepted(
    interceptors: Sequence[Interceptor], path: str, policy: Method | None, handler: grpc.RpcMethodHandler[Any, Any]
) -> grpc.RpcMethodHandler[Any, Any]:
    """The same RPC with the interceptors around it, the first one outermost. One of them must be an Incoming."""
    rpc = Rpc(path, policy, handler.request_streaming, handler.response_streaming, handler.request_deserializer)
    proceed = _handler(rpc, handler)
    for interceptor in reversed(interceptors):
        proceed = interceptor.wrap(rpc, proceed)
    # Whether a request is one message or a stream of them is the same on the wire, and up to Incoming.
    make = grpc.stream_stream_rpc_method_handler if rpc.server_streaming else grpc.stream_unary_rpc_method_handler
    wrapped: grpc.RpcMethodHandler[Any, Any] = make(proceed, response_serializer=handler.response_serializer)
    return wrapped


def _handler(rpc: Rpc, handler: grpc.RpcMethodHandler[Any, Any]) -> Handler:
    behaviour: Any = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    proceed: Handler = behaviour
    if inspect.isasyncgenfunction(behaviour):
        proceed = _written(behaviour)
    elif blocks(behaviour):
        proceed = in_threads(rpc, behaviour)
    return _reading(proceed) if rpc.client_streaming else proceed


def _written(behaviour: Any) -> Handler:
    async def write_each(request: Any, context: Context) -> None:
        responses: AsyncIterator[Any]
        async with aclosing(behaviour(request, context)) as responses:  # a cancelled call ends its generator now
            async for response in responses:
                await context.write(response)

    return write_each


def _reading(proceed: Handler) -> Handler:
    async def handle(messages: Messages, context: Context) -> Any:
        read: Any = _ReadContext(context, messages.read)
        return await proceed(messages, read)

    return handle


class _ReadContext:
    """The context of a client stream, whose `read` gives what the iterator gives: limited, parsed and checked."""

    def __init__(self, context: Context, read: Callable[[], Awaitable[Any]]) -> None:
        self._context = context
        self.read = read

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


async def settled() -> None:
    """Ends by the cancellation that is on its way, if the peer has gone.

    grpc.aio tells the end of a stream that was cut off as it tells a clean one, and a lost peer as a failure of its
    own; an instant later it cancels the call.
    """
    await asyncio.sleep(_SETTLING_SECONDS)
    for _ in range(2):  # a loop that was busy all that time has yet to hear of it
        await asyncio.sleep(0)
