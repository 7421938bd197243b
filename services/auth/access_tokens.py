"""Access tokens: what a user shows to every service of the mesh (mesh.token_keys says what one is)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

import jwt

from mesh import token_keys
from services.auth.domain.user import User
from services.auth.signing_keys import SigningKeys


@dataclass(frozen=True)
class AccessToken:
    text: str = field(repr=False)
    expires_in: timedelta
    scope: str


class AccessTokens:
    def __init__(
        self, keys: SigningKeys, *, issuer: str, audience: str, life: timedelta, clock: Callable[[], datetime]
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._life = life
        self._clock = clock

    def issue(self, user: User) -> AccessToken:
        """As RFC 9068 has it, but for `client_id`: nobody registers clients here."""
        key_id, key = self._keys.current()
        now = int(self._clock().timestamp())
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(user.user_id),
            "iat": now,
            "exp": now + round(self._life.total_seconds()),
            "jti": uuid4().hex,
            "scope": user.scope,
            "username": user.username,
            "roles": [role.value for role in user.roles],
        }
        header = {"typ": token_keys.TOKEN_TYPE, "kid": key_id}
        text = jwt.encode(claims, key, algorithm=token_keys.ALGORITHM, headers=header)
        return AccessToken(text, self._life, user.scope)
