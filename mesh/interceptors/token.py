"""Who calls: the bearer token of a method that is not public."""

from collections.abc import Awaitable
from typing import Any

import mesh
from mesh import callers
from mesh.interceptors.chain import Context, Handler, Rpc, metadata
from mesh.token_keys import KeysUnavailableError, TokenExpiredError, TokenInvalidError, TokenKeys
from mesh.v1.error_reason_pb2 import ErrorReason

error = mesh.errors(ErrorReason)
_SCHEME = "bearer "


class Token:
    """Verifies the token and makes its bearer known as `mesh.caller()`."""

    def __init__(self, keys: TokenKeys) -> None:
        self._keys = keys

    def wrap(self, rpc: Rpc, proceed: Handler) -> Handler:
        if rpc.policy is None or rpc.policy.permission is None:
            return proceed

        def handle(request: Any, context: Context) -> Awaitable[Any]:
            callers.current.set(self._caller(context))
            return proceed(request, context)

        return handle

    def _caller(self, context: Context) -> callers.Caller:
        given = None
        for key, value in metadata(context):
            if key == "authorization":
                if given is not None:
                    raise error(ErrorReason.ERROR_REASON_TOKEN_INVALID)
                given = value
        if given is None:
            raise error(ErrorReason.ERROR_REASON_TOKEN_MISSING)
        if given[: len(_SCHEME)].lower() != _SCHEME:
            raise error(ErrorReason.ERROR_REASON_TOKEN_INVALID)
        try:
            return self._keys.verify(given[len(_SCHEME) :])
        except TokenExpiredError:
            raise error(ErrorReason.ERROR_REASON_TOKEN_EXPIRED) from None
        except TokenInvalidError:
            raise error(ErrorReason.ERROR_REASON_TOKEN_INVALID) from None
        except KeysUnavailableError:
            raise error(ErrorReason.ERROR_REASON_KEYS_UNAVAILABLE, retry_after=1.0) from None
