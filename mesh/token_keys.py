"""The keys that verify access tokens. They are published in Consul's KV; servers and the edge read them there.

An access token is a JWT of type `at+jwt` (RFC 9068), signed with ES256. Its `scope` holds permissions.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from mesh.callers import Caller
from mesh.registry import Registry
from mesh.telemetry import logger

KEY = "mesh/token-keys"
ALGORITHM = "ES256"
TOKEN_TYPE = "at+jwt"  # noqa: S105 - a media type
_REQUIRED = ["iss", "aud", "sub", "iat", "exp", "jti"]
_REMEMBERED_TOKENS = 10_000

log = logger(__name__)


class TokenInvalidError(Exception):
    """Malformed, forged, of another type, or for another issuer or audience."""


class TokenExpiredError(Exception):
    """One of ours; its time is over."""


class KeysUnavailableError(Exception):
    """Nothing has been published since this process started."""


@dataclass(frozen=True)
class Published:
    """What stands in KV."""

    issuer: str
    audience: str
    jwks: Mapping[str, Any]

    @classmethod
    def from_json(cls, text: str | bytes) -> "Published":
        """Raises ValueError or KeyError for what is not published keys."""
        value = json.loads(text)
        if not (isinstance(value["issuer"], str) and isinstance(value["audience"], str)):
            raise ValueError("issuer and audience are texts")
        return cls(value["issuer"], value["audience"], value["jwks"])

    def to_json(self) -> str:
        return json.dumps({"issuer": self.issuer, "audience": self.audience, "jwks": self.jwks}, sort_keys=True)


async def publish(jwks: Mapping[str, Any], *, issuer: str, audience: str) -> None:
    """Publishes the public keys (RFC 7517). Raises RegistryError if Consul cannot be reached."""
    async with Registry.from_environment() as registry:
        await registry.put(KEY, Published(issuer, audience, jwks).to_json())


class TokenKeys:
    """Verifies access tokens, and remembers those that it has verified until they expire or the keys change."""

    def __init__(self, published: Published | None = None) -> None:
        self._published: Published | None = None
        self._keys: dict[str, jwt.PyJWK] = {}
        self._verified: dict[str, tuple[float, Caller]] = {}
        if published is not None:
            self.replace(published)

    def replace(self, published: Published) -> None:
        """Takes new keys; what the old ones verified is forgotten. Raises jwt.PyJWKSetError for a bad set."""
        keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(dict(published.jwks)).keys if key.key_id}
        self._published, self._keys, self._verified = published, keys, {}

    async def follow(self, registry: Registry) -> None:
        """Keeps up with what is published, for ever. A bad value is refused, and the last good one stays."""
        async for value in registry.watch_key(KEY):
            if value is None:
                continue
            try:
                self.replace(Published.from_json(value))
                log.info("token keys taken", keys=sorted(self._keys))
            except (ValueError, KeyError, TypeError, RecursionError, jwt.PyJWTError) as problem:
                log.error("token keys refused", problem=str(problem))

    def verify(self, token: str) -> Caller:
        """Who the token speaks for.

        Raises TokenInvalidError, TokenExpiredError or KeysUnavailableError.
        """
        if (known := self._verified.get(token)) is not None:
            expires, caller = known
            if time.time() < expires:
                return caller
            del self._verified[token]
        claims = self._claims(token)
        caller = Caller(claims["sub"], frozenset(str(claims.get("scope", "")).split()), claims, token)
        if len(self._verified) >= _REMEMBERED_TOKENS:
            del self._verified[next(iter(self._verified))]  # the oldest
        self._verified[token] = (float(claims["exp"]), caller)
        return caller

    def _claims(self, token: str) -> dict[str, Any]:
        if self._published is None:
            raise KeysUnavailableError
        try:
            header = jwt.get_unverified_header(token)
            # RFC 8725 3.1 and 3.11: the algorithm is ours to say, and a token of another kind is no access token.
            if header.get("alg") != ALGORITHM or header.get("typ") != TOKEN_TYPE:
                raise TokenInvalidError
            key = self._keys.get(header.get("kid", ""))
            if key is None:
                raise TokenInvalidError
            return jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=self._published.issuer,
                audience=self._published.audience,
                options={"require": _REQUIRED},
            )
        except jwt.ExpiredSignatureError:
            raise TokenExpiredError from None
        except (jwt.PyJWTError, ValueError, TypeError):
            raise TokenInvalidError from None
