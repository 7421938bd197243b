"""No call is without an end, and what is done for it knows that end."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

import mesh
from mesh.interceptors.chain import Context, Handler, Rpc
from mesh.resilience.deadline import deadline
from mesh.v1.error_reason_pb2 import ErrorReason

error = mesh.errors(ErrorReason)


class Deadline:
    """Gives the contract's default to a call that brings no deadline. gRPC itself ends one that does.

    Either way, and where the caller gives up, the handler's task is cancelled, and what it waits for with it.
    """

    def wrap(self, rpc: Rpc, proceed: Handler) -> Handler:
        default = rpc.policy.default_deadline_seconds if rpc.policy is not None else None

        def handle(request: Any, context: Context) -> Awaitable[Any]:
            remaining = context.time_remaining()
            if remaining is not None:
                deadline.set(time.monotonic() + remaining)
            elif default is not None:
                return limited(request, context, default)
            return proceed(request, context)

        async def limited(request: Any, context: Context, seconds: float) -> Any:
            deadline.set(time.monotonic() + seconds)
            try:
                async with asyncio.timeout(seconds) as limit:
                    return await proceed(request, context)
            except TimeoutError:
                if not limit.expired():
                    raise  # the handler's own
                raise error(ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED) from None

        return handle
