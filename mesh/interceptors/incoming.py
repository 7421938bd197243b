"""The messages of a call as they come in: read here, under a limit, before anything is done for the call.

grpc.aio would read the one message of a unary request by itself and wait for it for ever: a call that never sends
one holds its place until the peer goes away, and every stop of the server waits for it. So the server registers each
method as one that takes a stream, which is the same on the wire, and this step reads the message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc

import mesh
from mesh.interceptors.chain import Context, Handler, Messages, Rpc, settled
from mesh.resilience.patience import CrowdedError, OutOfPatienceError, Patience
from mesh.v1.error_reason_pb2 import ErrorReason

FIRST_SECONDS = 10.0
"""How long a call may take to send its first message."""
NEXT_SECONDS = 60.0
"""How long a client stream may pause between two messages."""
WAITING_CALLS = 1000
"""Calls without their first message. One more, and the one that has waited longest is refused."""
_LAST_SECONDS = 0.5
"""The same as FIRST_SECONDS once the server stops: whose message is on its way is still served."""

error = mesh.errors(ErrorReason)
_Receive = Callable[[Context], Awaitable[Any]]


class Incoming:
    """Gives a handler its request, or its stream of requests, once there is a first one.

    A call that sends nothing in time ends with REQUEST_NOT_SENT, or OVERLOADED where too many do so; one that closes
    its side without a message, or sends what is none, gets the status that gRPC has for it.
    """

    def __init__(
        self, first_seconds: float = FIRST_SECONDS, next_seconds: float = NEXT_SECONDS, waiting: int = WAITING_CALLS
    ) -> None:
        self._first = Patience(first_seconds, waiting)
        self._next = Patience(next_seconds, waiting)
        self._stopping = False

    def stop(self) -> None:
        """From now on a call's first message must be here, or as good as: no drain waits for one that never comes."""
        self._stopping = True
        self._first.shorten(_LAST_SECONDS)

    def wrap(self, rpc: Rpc, proceed: Handler) -> Handler:
        parse, first = rpc.parse or _as_is, self._first.wait

        async def handle(_: object, context: Context) -> Any:
            try:
                message = await first(context.read())
            except OutOfPatienceError as reason:
                raise self._refusal(reason) from None
            if message is grpc.aio.EOF:
                await settled()
                await context.abort(grpc.StatusCode.UNIMPLEMENTED, "The method takes one message and none was sent")
            try:
                request = parse(message)
            except Exception:  # of a codec of which nothing is known here
                await _unreadable(context)
            return await proceed(request, context)

        async def handle_stream(_: object, context: Context) -> Any:
            stream = _Stream(parse, context, self.next)
            await stream.begin(self.first)
            return await proceed(stream, context)

        async def handle_both_ways(_: object, context: Context) -> Any:
            return await proceed(_Stream(parse, context, _unlimited), context)  # the server may well speak first

        if not rpc.client_streaming:
            return handle
        return handle_both_ways if rpc.server_streaming else handle_stream

    async def first(self, context: Context) -> Any:
        try:
            return await self._first.wait(context.read())
        except OutOfPatienceError as reason:
            raise self._refusal(reason) from None

    def _refusal(self, reason: OutOfPatienceError) -> mesh.Error:
        if isinstance(reason, CrowdedError):
            return error(ErrorReason.ERROR_REASON_OVERLOADED, limit="waiting", retry_after=1.0)
        return error(ErrorReason.ERROR_REASON_STOPPING if self._stopping else ErrorReason.ERROR_REASON_REQUEST_NOT_SENT)

    async def next(self, context: Context) -> Any:
        try:
            return await self._next.wait(context.read())
        except OutOfPatienceError:
            raise error(ErrorReason.ERROR_REASON_REQUEST_NOT_SENT) from None


class _Stream(Messages):
    """The messages of one client stream.

    A stream that was cut off, by RST_STREAM or with its connection, is never taken for complete. One that its peer
    ends in the middle of a message is: gRPC's core drops the half message and tells nobody. Where half a stream would
    do harm, the contract must have the sender say in a last message what it sent.
    """

    def __init__(self, parse: Callable[[bytes], Any], context: Context, receive: _Receive) -> None:
        self._parse = parse
        self._context = context
        self._receive = receive
        self._begun: Any = None

    async def begin(self, receive: _Receive) -> None:
        """Waits for the first message, or for the end of a stream that has none."""
        self._begun = await receive(self._context)

    async def read(self) -> Any:
        if self._begun is not None:
            message, self._begun = self._begun, None
        else:
            message = await self._receive(self._context)
        if message is grpc.aio.EOF:
            await settled()
            return message
        try:
            return self._parse(message)
        except Exception:
            await _unreadable(self._context)


async def _unlimited(context: Context) -> Any:
    return await context.read()


async def _unreadable(context: Context) -> NoReturn:
    await context.abort(grpc.StatusCode.INTERNAL, "The request cannot be parsed")
    raise AssertionError


def _as_is(message: bytes) -> bytes:
    return message
