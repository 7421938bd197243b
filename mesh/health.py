"""What a server answers health checks (https://github.com/grpc/grpc/blob/master/doc/health-checking.md)."""

import asyncio
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer


class Health(HealthServicer):
    """The status of each service.

    gRPC's own keeps a lock while it writes to a watcher, so that one who takes nothing keeps the status from being
    set, and the server from stopping.
    """

    def __init__(self) -> None:
        self._statuses: dict[str, Any] = {"": HealthCheckResponse.SERVING}
        self._changed = asyncio.Event()

    async def Check(self, request: HealthCheckRequest, context: Any) -> HealthCheckResponse:  # noqa: N802
        if (status := self._statuses.get(request.service)) is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "")
        return HealthCheckResponse(status=status)

    async def Watch(self, request: HealthCheckRequest, context: Any) -> None:  # noqa: N802
        told = None
        while True:
            changed = self._changed
            status = self._statuses.get(request.service, HealthCheckResponse.SERVICE_UNKNOWN)
            if status != told:
                await context.write(HealthCheckResponse(status=status))
                told = status
            await changed.wait()

    async def set(self, service: str, status: Any) -> None:
        self._statuses[service] = status
        self._changed.set()
        self._changed = asyncio.Event()
