"""Work that goes on beside a block and ends with it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from mesh.telemetry import logger

_CANCEL_AGAIN_SECONDS = 1.0

log = logger(__name__)


@contextlib.asynccontextmanager
async def background(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator["asyncio.Task[None]"]:
    """Runs `work` until the block ends, then cancels it and waits for its end. Raises what it failed with.

    The log has the failure when it happens: the block may go on for days.
    """
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_tell)
    try:
        yield task
    finally:
        while not task.done():  # drivers have been seen to turn a cancellation into an error of their own
            task.cancel()
            await asyncio.wait([task], timeout=_CANCEL_AGAIN_SECONDS)
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _tell(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (problem := task.exception()) is not None:
        log.error("work in the background has failed", work=task.get_name(), exc_info=problem)
