"""Calls under way: grpc.aio's own call objects, with what happens at their end.

A call that succeeds costs one of these thin objects and no task. They follow grpc.aio's in all that is public; they do
not derive from its classes, since its channels take those apart when they close.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any, TypeVar

import grpc

from mesh.client.destination import OK, Method
from mesh.client.writing import Writing
from mesh.resilience.breaker import Probe
from mesh.resilience.retry import again

T = TypeVar("T")
_END = object()


class Call:
    """What all kinds of calls have in common. `begin` makes an attempt, given its `timeout` in seconds."""

    _again = True
    """Whether the request is still there for another attempt."""
    _rest: "asyncio.Task[Any] | None" = None
    """All after the first attempt, until there is a response: a task, so that `cancel` ends its waits too."""
    _ended = False
    _cancelled = False

    def __init__(
        self,
        method: Method,
        begin: Callable[..., Any],
        started: float,
        seconds: float | None,
        probe: Probe | None,
    ) -> None:
        self._attempt = begin(timeout=seconds)
        self._method = method
        self._begin = begin
        self._started = started
        self._seconds = seconds
        self._probe = probe

    def cancel(self) -> bool:
        if self._rest is not None and self._rest.cancel():
            self._attempt.cancel()
            self._cancelled = True
        elif not self._attempt.cancel():
            return False
        self._end(grpc.StatusCode.CANCELLED)
        return True

    def cancelled(self) -> bool:
        return self._cancelled or bool(self._attempt.cancelled())

    def done(self) -> bool:
        return self._attempt.done() and (self._rest is None or self._rest.done())

    def time_remaining(self) -> float | None:
        remaining: float | None = self._attempt.time_remaining()
        return remaining

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._attempt.add_done_callback(lambda _: callback(self))

    async def initial_metadata(self) -> grpc.aio.Metadata:
        return await self._attempt.initial_metadata()  # type: ignore[no-any-return]

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        return await self._attempt.trailing_metadata()  # type: ignore[no-any-return]

    async def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.CANCELLED if self._cancelled else await self._attempt.code()

    async def details(self) -> str:
        return await self._attempt.details()  # type: ignore[no-any-return]

    async def debug_error_string(self) -> str:
        return await self._attempt.debug_error_string()  # type: ignore[no-any-return]

    async def wait_for_connection(self) -> None:
        await self._attempt.wait_for_connection()

    def _end(self, code: grpc.StatusCode) -> None:
        if not self._ended:
            self._ended = True
            self._method.ended(code, self._started, self._seconds, self._probe)

    def _failed(self, failure: BaseException) -> None:
        """The end of a call that raised; whatever is no answer of gRPC's is our own doing or our caller's."""
        self._end(failure.code() if isinstance(failure, grpc.aio.AioRpcError) else grpc.StatusCode.CANCELLED)

    def _may_be_made_again(self, failure: BaseException) -> bool:
        return self._again and not self._ended and self._method.is_retryable(failure)

    async def _made_again(self, take: Callable[[Any], Awaitable[T]], failure: BaseException) -> T:
        """What `take` takes of another attempt, after the first has failed."""
        method, begin = self._method, self._begin
        deadline = None if self._seconds is None else self._started + self._seconds

        async def attempt() -> T:
            self._attempt = begin(timeout=None if deadline is None else deadline - time.monotonic())
            return await take(self._attempt)

        return await again(
            attempt,
            failure,
            method.at.live.current.retry,
            deadline=deadline,
            retryable=method.is_retryable,
            pushed_back=method.pushed_back,
            spend=method.at.spend_retry,
            before=method.retries.inc,
        )


class UnaryCall(Call):
    """A call with one response."""

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            if self._rest is None:
                try:
                    response = yield from self._attempt.__await__()
                except grpc.aio.AioRpcError as failure:
                    if self._rest is None:
                        if not self._may_be_made_again(failure):
                            raise
                        # Several may wait for the one call; the first that is cancelled cancels it.
                        self._rest = asyncio.create_task(self._made_again(_response, failure))
                else:
                    if not self._ended:
                        self._ended = True
                        self._method.ended(OK, self._started, self._seconds, self._probe)
                    return response
            response = yield from self._rest.__await__()
        except BaseException as failure:
            self._failed(failure)
            raise
        self._end(OK)
        return response

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        asyncio.ensure_future(self._result()).add_done_callback(lambda _: callback(self))

    async def initial_metadata(self) -> grpc.aio.Metadata:
        await self._result()
        return await super().initial_metadata()

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        await self._result()
        return await super().trailing_metadata()

    async def code(self) -> grpc.StatusCode:
        await self._result()
        return await super().code()

    async def details(self) -> str:
        await self._result()
        return await super().details()

    async def debug_error_string(self) -> str:
        await self._result()
        return await super().debug_error_string()

    async def _result(self) -> None:
        """Waits for the end, whatever it is. Who stops waiting for this does not cancel the call."""
        if not self._ended:
            await asyncio.shield(asyncio.gather(self, return_exceptions=True))


async def _response(attempt: Any) -> Any:
    return await attempt


class StreamCall(Call):
    """A call with a stream of responses; it can be made again until the first of them is there."""

    _begun = False
    """Whether the first response is there."""
    _messages: AsyncIterator[Any] | None = None

    def __aiter__(self) -> AsyncIterator[Any]:
        if self._messages is None:
            self._messages = self._iterate()
        return self._messages

    async def _iterate(self) -> AsyncIterator[Any]:
        try:
            message = await self._first(_next_of)
            if message is not _END:
                yield message
                async for message in self._attempt:
                    yield message
        except BaseException as failure:
            self._failed(failure)
            raise
        self._end(OK)

    async def read(self) -> Any:
        try:
            message = await (self._attempt.read() if self._begun else self._first(_read))
        except BaseException as failure:
            self._failed(failure)
            raise
        if message is grpc.aio.EOF:
            self._end(OK)
        return message

    async def _first(self, take: Callable[[Any], Awaitable[Any]]) -> Any:
        try:
            message = await take(self._attempt)
        except grpc.aio.AioRpcError as failure:
            if not self._may_be_made_again(failure):
                raise
            self._rest = asyncio.create_task(self._made_again(take, failure))
            message = await self._rest
        self._begun = True
        breaker = self._method.at.breaker
        breaker.well_at = max(breaker.well_at, self._started)
        if breaker.failing:  # a stream may be long, and all the others wait for its verdict
            breaker.succeeded(self._probe)
        return message

    async def code(self) -> grpc.StatusCode:
        code = await super().code()
        self._end(code)  # who asks for the end need not read up to it
        return code


async def _next_of(attempt: Any) -> Any:
    return await anext(aiter(attempt), _END)


async def _read(attempt: Any) -> Any:
    return await attempt.read()


class _Writing(Call):
    """The caller's end of a stream of requests."""

    _again = False

    def __init__(self, method: Method, begin: Callable[..., Any], *rest: Any) -> None:
        super().__init__(method, lambda **options: Writing(begin(**options)), *rest)

    async def write(self, request: Any) -> None:
        try:
            await self._attempt.write(request)
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as failure:
            self._failed(failure)
            raise

    async def done_writing(self) -> None:
        await self._attempt.done_writing()


class StreamUnaryCall(_Writing, UnaryCall):
    pass


class StreamStreamCall(_Writing, StreamCall):
    pass


class RefusedCall:
    """A call of any kind that was not made."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self._error = error

    def __await__(self) -> Generator[Any, None, Any]:
        raise self._error
        yield  # what makes it a generator

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        raise self._error

    async def read(self) -> Any:
        raise self._error

    async def write(self, request: Any) -> None:
        raise self._error

    async def done_writing(self) -> None:
        raise self._error

    async def wait_for_connection(self) -> None:
        raise self._error

    def cancel(self) -> bool:
        return False

    def cancelled(self) -> bool:
        return False

    def done(self) -> bool:
        return True

    def time_remaining(self) -> float | None:
        return 0.0

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        callback(self)

    async def initial_metadata(self) -> grpc.aio.Metadata:
        return self._error.initial_metadata()

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        return self._error.trailing_metadata()

    async def code(self) -> grpc.StatusCode:
        return self._error.code()

    async def details(self) -> str:
        return self._error.details() or ""

    async def debug_error_string(self) -> str:
        return self._error.debug_error_string() or ""
