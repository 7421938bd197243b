"""The keys that sign access tokens: shared by all replicas, rotated by age, published for those who verify."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from jwt.algorithms import ECAlgorithm

import mesh
from mesh import token_keys
from mesh.background import background
from mesh.registry import Registry, RegistryError
from services.auth.domain.keys import Rotation, SigningKey, signer
from services.auth.store.keys import KeyStore
from services.database import StoreUnavailableError

_CONSUL_SECONDS = 5.0  # the keys stay locked for so long
_RETRY_SECONDS = 2.0
_SETTLE_SECONDS = 0.2  # two programs that disagree about what to publish shall not do so at full speed
_LOOKS_PER_GRACE = 6

log = mesh.logger(__name__)


class SigningKeys:
    """The keys as this process last saw them. Those who verify learn of a change before anything is signed by it."""

    def __init__(
        self,
        store: KeyStore,
        registry: Registry,
        rotation: Rotation,
        *,
        issuer: str,
        audience: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._registry = registry
        self._rotation = rotation
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._keys: Sequence[SigningKey] = ()

    def current(self) -> tuple[str, EllipticCurvePrivateKey]:
        """Id and key to sign with now."""
        key = signer(self._keys, self._clock())
        return key.key_id, _loaded(key.private_key)

    def jwks(self) -> list[dict[str, str]]:
        """The public keys of all tokens that may be alive (RFC 7517)."""
        now = self._clock()
        return [_jwk(key) for key in self._keys if not key.retired(now)]

    async def look(self) -> None:
        """Sees what keys there are, makes one if it is time, and puts right what is published.

        All under one lock, so that of several replicas one makes the key and none publishes an older state over a
        newer one. A key that couldn't be published is not kept. Raises RegistryError and StoreUnavailableError.
        """
        async with self._store.locked() as stored:
            kept = await stored.read()
            self._keys = kept or self._keys  # to go on with, should Consul be away
            wanted = self._rotation.rotated(kept, self._clock(), _new)
            await self._publish(wanted)
            if wanted != kept:
                await stored.replace(wanted)
        if wanted != kept:
            log.info("signing keys changed", keys=[key.key_id for key in wanted])
        self._keys = wanted

    async def keep(self) -> None:
        """Looks again whenever what is published changes, and several times in each grace; for ever."""
        changed = asyncio.Event()
        interval = min(self._rotation.grace / _LOOKS_PER_GRACE, timedelta(days=1)).total_seconds()
        async with background(self._watch(changed), "published-keys"):
            while True:
                wait = interval
                try:
                    await self.look()
                except (RegistryError, StoreUnavailableError) as problem:
                    log.warning("signing keys can't be looked at, trying again", problem=str(problem))
                    wait = min(interval, _RETRY_SECONDS)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await changed.wait()
                        await asyncio.sleep(_SETTLE_SECONDS)
                changed.clear()

    async def _watch(self, changed: asyncio.Event) -> None:
        async for _ in self._registry.watch_key(token_keys.KEY):
            changed.set()

    async def _publish(self, keys: Sequence[SigningKey]) -> None:
        jwks = {"keys": [_jwk(key) for key in keys]}
        wanted = token_keys.Published(self._issuer, self._audience, jwks).to_json().encode()
        try:
            async with asyncio.timeout(_CONSUL_SECONDS):
                if await self._registry.get(token_keys.KEY) == wanted:
                    return
                await token_keys.publish(jwks, issuer=self._issuer, audience=self._audience)
        except TimeoutError:
            raise RegistryError(f"Consul has not answered for {_CONSUL_SECONDS:.0f} s") from None
        log.info("token keys published", keys=[key.key_id for key in keys])


def _new() -> bytes:
    return generate_private_key(SECP256R1()).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


@lru_cache(maxsize=8)
def _loaded(private_key: bytes) -> EllipticCurvePrivateKey:
    key = load_der_private_key(private_key, None)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise TypeError("a signing key is not of an elliptic curve")
    return key


def _jwk(key: SigningKey) -> dict[str, str]:
    public: dict[str, Any] = ECAlgorithm.to_jwk(_loaded(key.private_key).public_key(), as_dict=True)
    return public | {"kid": key.key_id, "use": "sig", "alg": token_keys.ALGORITHM}
