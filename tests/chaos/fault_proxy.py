"""A TCP proxy on loopback whose connections can be dropped, refused and taken again."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class FaultProxy:
    """Passes on to `target`. `port` stays the same through all of it."""

    def __init__(self, target: tuple[str, int], loop: asyncio.AbstractEventLoop) -> None:
        self._target = target
        self._loop = loop
        self._writers: set[asyncio.StreamWriter] = set()
        self._taking = True
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = int(self._server.sockets[0].getsockname()[1])

    def drop(self) -> None:
        """Resets every connection; new ones are taken."""
        self._do(self._reset())

    def refuse(self) -> None:
        """Resets every connection, and each new one at once."""
        self._taking = False
        self.drop()

    def restore(self) -> None:
        self._taking = True

    def close(self) -> None:
        self._taking = False
        self._server.close()
        self.drop()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _reset(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._taking:
            writer.transport.abort()
            return
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        finally:
            self._writers.discard(writer)
        both = {writer, far_writer}
        self._writers |= both
        try:
            await asyncio.wait(
                [asyncio.create_task(_copy(reader, far_writer)), asyncio.create_task(_copy(far_reader, writer))],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for each in both:
                each.transport.abort()
            self._writers -= both


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()


@contextlib.contextmanager
def fault_proxy(target: tuple[str, int]) -> Iterator[FaultProxy]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="fault-proxy", daemon=True)
    thread.start()
    proxy = FaultProxy(target, loop)
    try:
        yield proxy
    finally:
        proxy.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(task)
        loop.close()
