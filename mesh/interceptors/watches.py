"""Calls that go on until somebody ends them, such as watching an instance's health."""

from typing import Any

import mesh
from mesh.interceptors.chain import Context, Handler, Rpc
from mesh.resilience.patience import CrowdedError, Patience, TooLongError
from mesh.v1.error_reason_pb2 import ErrorReason

_SECONDS = 24 * 3600.0
_MOST = 1000

error = mesh.errors(ErrorReason)


class Watches:
    """Ends them when the server stops, which would wait for them in vain, and the oldest where there are too many."""

    def __init__(self) -> None:
        self._patience = Patience(_SECONDS, _MOST)

    def stop(self) -> None:
        self._patience.shorten(0)

    def wrap(self, rpc: Rpc, proceed: Handler) -> Handler:
        async def handle(request: Any, context: Context) -> Any:
            try:
                return await self._patience.wait(proceed(request, context))
            except TooLongError:
                raise error(ErrorReason.ERROR_REASON_STOPPING) from None
            except CrowdedError:
                raise error(ErrorReason.ERROR_REASON_OVERLOADED, limit="watches", retry_after=1.0) from None

        return handle
