"""The gRPC adapter of auth."""

import contextlib
from collections.abc import Iterator
from typing import Any

import grpc
from retail.auth.v1 import auth_service_pb2 as messages
from retail.auth.v1.auth_service_pb2_grpc import AuthServiceServicer
from retail.auth.v1.error_reason_pb2 import ErrorReason

import mesh
from services.auth.auth import Auth
from services.auth.domain.errors import CredentialsInvalidError, RefreshTokenInvalidError, UsernameTakenError
from services.auth.domain.session import RefreshToken
from services.auth.messages import roles_of, tokens_message, user_message
from services.auth.passwords import PasswordsBusyError
from services.auth.signing_keys import SigningKeys
from services.database import StoreUnavailableError

_RETRY_SECONDS = 1.0

error = mesh.errors(ErrorReason)

Context = grpc.aio.ServicerContext[Any, Any]


class AuthRpc(AuthServiceServicer):
    def __init__(self, auth: Auth, keys: SigningKeys) -> None:
        self._auth = auth
        self._keys = keys

    async def Login(self, request: messages.LoginRequest, context: Context) -> messages.LoginResponse:
        with _contract_errors():
            grant = await self._auth.log_in(request.username, request.password)
        return messages.LoginResponse(tokens=tokens_message(grant))

    async def Refresh(self, request: messages.RefreshRequest, context: Context) -> messages.RefreshResponse:
        with _contract_errors():
            grant = await self._auth.refresh(RefreshToken(request.refresh_token))
        return messages.RefreshResponse(tokens=tokens_message(grant))

    async def GetJwks(self, request: messages.GetJwksRequest, context: Context) -> messages.GetJwksResponse:
        return messages.GetJwksResponse(keys=[messages.JsonWebKey(**key) for key in self._keys.jwks()])

    async def CreateUser(self, request: messages.CreateUserRequest, context: Context) -> messages.CreateUserResponse:
        with _contract_errors():
            user = await self._auth.create_user(request.user.username, roles_of(request.user), request.password)
        return messages.CreateUserResponse(user=user_message(user))


@contextlib.contextmanager
def _contract_errors() -> Iterator[None]:
    """Raises what the domain and the store raise as the contract has it."""
    try:
        yield
    except CredentialsInvalidError:
        raise error(ErrorReason.ERROR_REASON_CREDENTIALS_INVALID) from None
    except RefreshTokenInvalidError:
        raise error(ErrorReason.ERROR_REASON_REFRESH_TOKEN_INVALID) from None
    except UsernameTakenError as refused:
        raise error(ErrorReason.ERROR_REASON_USERNAME_TAKEN, username=refused.username) from None
    except (StoreUnavailableError, PasswordsBusyError):
        raise error(ErrorReason.ERROR_REASON_SESSIONS_UNAVAILABLE, retry_after=_RETRY_SECONDS) from None
