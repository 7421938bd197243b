"""A session: what begins with a login and goes on, from one refresh token to the next, until it is over."""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from services.auth.domain.user import User


@dataclass(frozen=True)
class RefreshToken:
    """Good for one exchange. Only its digest is kept, so whoever reads the database can't refresh."""

    text: str = field(repr=False)

    @classmethod
    def new(cls) -> "RefreshToken":
        return cls(secrets.token_urlsafe(32))

    @property
    def digest(self) -> bytes:
        """32 bytes. A fast hash will do: nobody guesses 256 random bits."""
        return hashlib.sha256(self.text.encode()).digest()


@dataclass(frozen=True)
class Session:
    session_id: UUID
    user: User
    create_time: datetime
    expire_time: datetime
    """Set at the login; no refresh moves it."""
    end_time: datetime | None = None
    """When it was ended before its time."""

    @classmethod
    def begin(cls, user: User, at: datetime, life: timedelta) -> "Session":
        return cls(uuid4(), user, at, at + life)

    def over(self, at: datetime) -> bool:
        return self.end_time is not None or at >= self.expire_time
