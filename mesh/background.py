"""Work that goes on beside a block and ends with it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

_CANCEL_AGAIN_SECONDS = 1.0


@contextlib.asynccontextmanager
async def background(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator["asyncio.Task[None]"]:
    """Runs `work` until the block ends, then cancels it and waits for its end. Raises what it failed with."""
    task = asyncio.create_task(work, name=name)
    try:
        yield task
    finally:
        while not task.done():  # drivers have been seen to turn a cancellation into an error of their own
            task.cancel()
            await asyncio.wait([task], timeout=_CANCEL_AGAIN_SECONDS)
        with contextlib.suppress(asyncio.CancelledError):
            await task
