"""A user: a person or a program."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from services.auth.domain.roles import Role, permissions


@dataclass(frozen=True)
class User:
    user_id: UUID
    username: str
    roles: tuple[Role, ...]
    create_time: datetime

    @classmethod
    def new(cls, username: str, roles: Iterable[Role], at: datetime) -> "User":
        return cls(uuid4(), username, tuple(roles), at)

    @property
    def scope(self) -> str:
        """The user's permissions as a token has them: in order, separated by spaces (RFC 8693, 4.2)."""
        return " ".join(sorted(permissions(self.roles)))
