"""grpc.aio's calls with a stream of requests, which end as the server says.

A server may end such a call while its client still writes. grpc.aio then gives the call a status of its own, "INTERNAL:
Internal error from Core", before or after the server's, which is lost to whoever asks at the wrong moment.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Generator
from typing import Any, TypeVar

import grpc

T = TypeVar("T")
_NOT_WRITTEN = "Internal error from Core"
_STATUS_SECONDS = 1.0
"""How long a failed write waits for the status. It does not come before all that the server has sent is read."""


class Writing:
    """`call`, whose status is the server's."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._status: asyncio.Future[grpc.aio.AioRpcError] = asyncio.get_running_loop().create_future()
        self._messages: AsyncIterator[Any] | None = None
        call.add_done_callback(self._heard)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def _heard(self, call: Any) -> None:
        """grpc.aio tells of every status that a call gets."""
        status = _status(call)
        if status.details() != _NOT_WRITTEN and not self._status.done():
            self._status.set_result(status)

    async def write(self, request: Any) -> None:
        """Raises the server's status; InvalidStateError if the server takes no more and there is no such failure."""
        try:
            await self._call.write(request)
        except grpc.aio.AioRpcError:
            await asyncio.wait([self._status], timeout=_STATUS_SECONDS)
            if self._status.done():
                self._raise_failure()
            raise asyncio.InvalidStateError("the server takes no more requests") from None

    async def read(self) -> Any:
        return await anext(aiter(self), grpc.aio.EOF)

    def __aiter__(self) -> AsyncIterator[Any]:
        if self._messages is None:
            self._messages = self._iterate()
        return self._messages

    async def _iterate(self) -> AsyncIterator[Any]:
        # Its `read` gives up what has come before a write failed.
        try:
            async for message in self._call:
                yield message
        except grpc.aio.AioRpcError:
            pass
        await asyncio.wait([self._status])  # there is nothing before it any more
        self._raise_failure()

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            return (yield from self._call.__await__())
        except grpc.aio.AioRpcError:
            if self._status.done():
                self._raise_failure()
            raise

    async def code(self) -> grpc.StatusCode:
        return (await self._told()).code()

    async def details(self) -> str:
        return (await self._told()).details() or ""

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        return (await self._told()).trailing_metadata()

    async def debug_error_string(self) -> str:
        return (await self._told()).debug_error_string() or ""

    async def _told(self) -> grpc.aio.AioRpcError:
        await asyncio.wait([self._status])
        return self._status.result()

    def _raise_failure(self) -> None:
        status = self._status.result()
        if status.code() is not grpc.StatusCode.OK:
            raise status


def _status(call: Any) -> grpc.aio.AioRpcError:
    """Of a call that has ended."""
    return grpc.aio.AioRpcError(
        _now(call.code()),
        initial_metadata=_now(call.initial_metadata()),
        trailing_metadata=_now(call.trailing_metadata()),
        details=_now(call.details()),
        debug_error_string=_now(call.debug_error_string()),
    )


def _now(known: Coroutine[Any, Any, T]) -> T:
    """The result of what need not wait for it."""
    try:
        known.send(None)
    except StopIteration as told:
        result: T = told.value
        return result
    raise RuntimeError("the call has no status yet")
