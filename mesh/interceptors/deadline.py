"""No call is without an end."""

import asyncio
from typing import Any

import grpc

import mesh
from mesh.interceptors.chain import Handler, Rpc
from mesh.v1.error_reason_pb2 import ErrorReason

error = mesh.errors(ErrorReason)


class Deadline:
    """Gives the contract's default to a call that brings no deadline. gRPC itself ends one that does."""

    def wrap(self, rpc: Rpc, proceed: Handler) -> Handler:
        if rpc.policy is None:
            return proceed
        default = rpc.policy.default_deadline_seconds

        async def handle(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            if context.time_remaining() is not None:
                return await proceed(request, context)
            try:
                async with asyncio.timeout(default) as limit:
                    return await proceed(request, context)
            except TimeoutError:
                if not limit.expired():
                    raise  # the handler's own
                raise error(ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED) from None

        return handle
