"""The real server with the real interceptor chain on a free port, for tests of services.

async with mesh.testing.serving(GreeterRpc()) as server:
    async with server.channel(permissions={"greetings.read"}) as channel:
        await GreeterServiceStub(channel).Greet(...)
"""

import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from mesh.client import MeshChannel
from mesh.interceptors import Interceptor, server_chain
from mesh.live.settings import Live
from mesh.server import Server
from mesh.token_keys import ALGORITHM, TOKEN_TYPE, Published, TokenKeys
from mesh.transport import MESSAGE_BYTES, channel_options

ISSUER = "https://issuer.test"
AUDIENCE = "test"


@dataclass(frozen=True)
class Issuer:
    """Signs access tokens with a key of its own."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    key_id: str = "test"

    def published(self) -> Published:
        jwk: dict[str, Any] = jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return Published(ISSUER, AUDIENCE, {"keys": [jwk | {"kid": self.key_id, "use": "sig", "alg": ALGORITHM}]})

    def token(
        self,
        *,
        permissions: Collection[str] = (),
        subject: str = "tester",
        claims: Mapping[str, Any] | None = None,
        header: Mapping[str, Any] | None = None,
    ) -> str:
        """A token that is good for an hour; `claims` and `header` replace what it would say."""
        now = int(time.time())
        payload = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "iat": now,
            "exp": now + 3600,
            "jti": uuid.uuid4().hex,
            "scope": " ".join(sorted(permissions)),
        }
        headers = {"typ": TOKEN_TYPE, "kid": self.key_id, **(header or {})}
        return jwt.encode(payload | dict(claims or {}), self.key, algorithm=ALGORITHM, headers=headers)


@dataclass(frozen=True)
class Served:
    """A server under test."""

    address: str
    issuer: Issuer
    keys: TokenKeys
    live: Live
    """What an operator may set; a test sets `live.current`."""
    server: Server

    def channel(self, permissions: Collection[str] | None = None, *, subject: str = "tester") -> grpc.aio.Channel:
        """A channel whose calls carry a token with these permissions; None: no token."""
        token = None if permissions is None else self.issuer.token(permissions=permissions, subject=subject)
        return self.channel_with(token)

    def channel_with(self, token: str | None) -> grpc.aio.Channel:
        """A channel whose calls carry this token."""
        inner = grpc.aio.insecure_channel(self.address, options=channel_options())
        return MeshChannel(inner, self.address, token=lambda: token, live=self.live)


@contextlib.asynccontextmanager
async def serving(
    *servicers: object,
    require_contract: bool = True,
    message_bytes: int = MESSAGE_BYTES,
    live: Live | None = None,
    peer: Interceptor | None = None,
) -> AsyncIterator[Served]:
    """Serves on a free port of the loopback until the block ends.

    `peer` takes the place of the question which workload calls, which here nobody asks.
    """
    issuer = Issuer()
    keys = TokenKeys(issuer.published())
    live = live or Live()
    server = Server(
        *servicers,
        interceptors=server_chain(keys, live, peer),
        require_contract=require_contract,
        message_bytes=message_bytes,
    )
    port = await server.start("127.0.0.1")
    await server.set_serving(True)
    try:
        yield Served(f"127.0.0.1:{port}", issuer, keys, live, server)
    finally:
        await server.stop(None)
