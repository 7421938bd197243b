"""The auth service on a free port, as its tests call it."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import asyncpg
import grpc
import jwt
import pytest
from retail.auth.v1 import auth_service_pb2 as messages
from retail.auth.v1.auth_service_pb2_grpc import AuthServiceStub

from mesh.error import Described, from_rpc_error
from mesh.testing import serving
from mesh.token_keys import Published, TokenKeys
from services.auth.bootstrap import bootstrap
from services.auth.settings import Settings

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

ADMIN_PASSWORD = "a-password-for-the-admin"
ADA_PASSWORD = "correct horse battery staple"


class Clock:
    """Shows the time of day, moved by `ahead`."""

    def __init__(self, ahead: timedelta = timedelta(0)) -> None:
        self.ahead = ahead

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass(frozen=True)
class Client:
    """Calls auth as somebody with the permission users.write."""

    stub: Any

    async def log_in(self, username: str = "admin", password: str = ADMIN_PASSWORD) -> messages.Tokens:
        answer = await self.stub.Login(messages.LoginRequest(username=username, password=password))
        return answer.tokens  # type: ignore[no-any-return]

    async def refresh(self, tokens: messages.Tokens) -> messages.Tokens:
        answer = await self.stub.Refresh(messages.RefreshRequest(refresh_token=tokens.refresh_token))
        return answer.tokens  # type: ignore[no-any-return]

    async def create(
        self, username: str, *roles: messages.Role.ValueType, password: str = ADA_PASSWORD
    ) -> messages.User:
        user = messages.User(username=username, roles=roles or [messages.ROLE_VIEWER])
        answer = await self.stub.CreateUser(messages.CreateUserRequest(user=user, password=password))
        return answer.user  # type: ignore[no-any-return]

    async def jwks(self) -> dict[str, dict[str, str]]:
        """The published keys by id."""
        answer = await self.stub.GetJwks(messages.GetJwksRequest())
        return {
            key.kid: {field.name: getattr(key, field.name) for field in key.DESCRIPTOR.fields} for key in answer.keys
        }

    async def verify(self, tokens: messages.Tokens, settings: Settings) -> Any:
        """Who the access token speaks for, by what GetJwks says."""
        jwks = {"keys": list((await self.jwks()).values())}
        return TokenKeys(Published(settings.issuer, settings.audience, jwks)).verify(tokens.access_token)


@contextlib.asynccontextmanager
async def serving_auth(settings: Settings, clock: Callable[[], datetime] | None = None) -> AsyncIterator[Client]:
    async with (
        bootstrap(settings, clock=clock or Clock()) as rpc,
        serving(rpc) as server,
        server.channel({"users.write"}) as channel,
    ):
        yield Client(AuthServiceStub(channel))


async def refused(call: Awaitable[Any]) -> Described:
    """Why the call was refused."""
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call
    return from_rpc_error(failure.value)


def key_id(tokens: messages.Tokens) -> str:
    return str(jwt.get_unverified_header(tokens.access_token)["kid"])
