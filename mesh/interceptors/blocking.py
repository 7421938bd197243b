"""Handlers that block, as those of a threaded server do: they run in threads, as gRPC's own asyncio server runs them.

A cancelled call does not stop such a thread; what its handler says later goes nowhere.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import grpc

if TYPE_CHECKING:
    from mesh.interceptors.chain import Context, Handler, Messages, Rpc

_Wait = Callable[[Coroutine[Any, Any, Any]], Any]
_END = object()


def blocks(behaviour: object) -> bool:
    return not (inspect.iscoroutinefunction(behaviour) or inspect.isasyncgenfunction(behaviour))


def in_threads(rpc: Rpc, behaviour: Any) -> Handler:
    """The handler, with all that it would wait for waiting in the event loop."""

    async def handle(request: Any, context: Context) -> Any:
        wait = partial(_wait, asyncio.get_running_loop())
        given = _Requests(request, wait) if rpc.client_streaming else request
        answer = await asyncio.to_thread(behaviour, given, _BlockingContext(context, wait))
        if not rpc.server_streaming:
            return answer
        answers: Iterator[Any] = iter(answer)
        while (each := await asyncio.to_thread(next, answers, _END)) is not _END:
            await context.write(each)
        return None

    return handle


def _wait(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result()


class _Requests:
    def __init__(self, messages: Messages, wait: _Wait) -> None:
        self._messages = messages
        self._wait = wait

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if (message := self._wait(self._messages.read())) is grpc.aio.EOF:
            raise StopIteration
        return message


class _BlockingContext:
    """What an asyncio context gives to await, this one has waited for."""

    def __init__(self, context: Context, wait: _Wait) -> None:
        self._context = context
        self._wait = wait

    def abort(self, *arguments: Any, **named: Any) -> None:
        self._wait(self._context.abort(*arguments, **named))

    def abort_with_status(self, status: Any) -> None:
        self._wait(self._context.abort_with_status(status))

    def send_initial_metadata(self, metadata: Any) -> None:
        self._wait(self._context.send_initial_metadata(metadata))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)
