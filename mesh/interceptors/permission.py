"""What the caller may do: the permission that the method's contract names."""

from typing import Any

import grpc

import mesh
from mesh import callers
from mesh.interceptors.chain import Handler, Rpc
from mesh.v1.error_reason_pb2 import ErrorReason

error = mesh.errors(ErrorReason)


class Permission:
    def wrap(self, rpc: Rpc, proceed: Handler) -> Handler:
        if rpc.policy is None or rpc.policy.permission is None:
            return proceed
        permission = rpc.policy.permission

        async def handle(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            caller = callers.current.get()
            if caller is None or permission not in caller.permissions:
                raise error(ErrorReason.ERROR_REASON_PERMISSION_MISSING, permission=permission)
            return await proceed(request, context)

        return handle
