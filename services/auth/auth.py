"""What auth does: logs users in, goes on with their sessions, makes users."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import mesh
from services.auth.access_tokens import AccessToken, AccessTokens
from services.auth.domain.errors import CredentialsInvalidError, RefreshTokenReusedError
from services.auth.domain.roles import Role
from services.auth.domain.session import RefreshToken, Session
from services.auth.domain.user import User
from services.auth.passwords import Passwords
from services.auth.store.sessions import SessionStore
from services.auth.store.users import UserStore

log = mesh.logger(__name__)


@dataclass(frozen=True)
class Grant:
    """What a login or a refresh gives."""

    access: AccessToken
    refresh: RefreshToken


@dataclass(frozen=True)
class Auth:
    """Every method raises StoreUnavailableError; those that are given a password PasswordsBusyError too."""

    users: UserStore
    sessions: SessionStore
    passwords: Passwords
    access_tokens: AccessTokens
    session_life: timedelta
    clock: Callable[[], datetime]

    async def log_in(self, username: str, password: str) -> Grant:
        """Begins a session. Raises CredentialsInvalidError."""
        known = await self.users.find(username)
        hashed = known.password_hash if known else None
        if not await self.passwords.matches(password, hashed) or known is None:
            log.warning("login refused", username=username)
            raise CredentialsInvalidError
        if self.passwords.outdated(known.password_hash):  # only now is the password there to be hashed anew
            await self.users.set_password_hash(known.user.user_id, await self.passwords.hash(password))
        token = RefreshToken.new()
        await self.sessions.begin(Session.begin(known.user, self.clock(), self.session_life), token)
        return Grant(self.access_tokens.issue(known.user), token)

    async def refresh(self, token: RefreshToken) -> Grant:
        """Goes on with a session. Raises RefreshTokenInvalidError."""
        successor = RefreshToken.new()
        try:
            user = await self.sessions.exchange(token, successor, self.clock())
        except RefreshTokenReusedError as reused:
            log.warning(
                "refresh token reused, session ended", session_id=str(reused.session_id), username=reused.username
            )
            raise
        return Grant(self.access_tokens.issue(user), successor)

    async def create_user(self, username: str, roles: Iterable[Role], password: str) -> User:
        """Raises UsernameTakenError."""
        password_hash = await self.passwords.hash(password)
        user = User.new(username, roles, self.clock())
        await self.users.add(user, password_hash)
        return user
