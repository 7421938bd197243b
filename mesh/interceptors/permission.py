"""What the caller may do: the permission that the method's contract names."""

from collections.abc import Awaitable
from typing import Any

import mesh
from mesh import callers
from mesh.interceptors.chain import Context, Handler, Rpc
from mesh.v1.error_reason_pb2 import ErrorReason

error = mesh.errors(ErrorReason)


class Permission:
    def wrap(self, rpc: Rpc, proceed: Handler) -> Handler:
        if rpc.policy is None or rpc.policy.permission is None:
            return proceed
        permission = rpc.policy.permission

        def handle(request: Any, context: Context) -> Awaitable[Any]:
            caller = callers.current.get()
            if caller is None or permission not in caller.permissions:
                raise error(ErrorReason.ERROR_REASON_PERMISSION_MISSING, permission=permission)
            return proceed(request, context)

        return handle
