"""Users in PostgreSQL. Every method raises StoreUnavailableError when the database is away."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, exists, select, update
from sqlalchemy.dialects.postgresql import insert

from services.auth.domain.errors import UsernameTakenError
from services.auth.domain.roles import Role
from services.auth.domain.user import User
from services.auth.store.tables import user
from services.database import Database

USER_COLUMNS = (user.c.user_id, user.c.username, user.c.roles, user.c.create_time.label("user_create_time"))


@dataclass(frozen=True)
class Known:
    """A user, and what their password is checked against."""

    user: User
    password_hash: str = field(repr=False)


class UserStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, new: User, password_hash: str) -> None:
        """Raises UsernameTakenError, to all but one of those who want a name at the same time."""
        values: dict[str, Any] = {
            "user_id": new.user_id,
            "username": new.username,
            "roles": [role.value for role in new.roles],
            "password_hash": password_hash,
            "create_time": new.create_time,
        }
        statement = insert(user).values(values).on_conflict_do_nothing(index_elements=["username"])
        async with self._database.reading() as connection:
            added = await connection.execute(statement.returning(user.c.user_id))
            if added.first() is None:
                raise UsernameTakenError(new.username)

    async def find(self, username: str) -> Known | None:
        if "\0" in username:  # PostgreSQL's text can't hold it, so nobody is called that
            return None
        async with self._database.reading() as connection:
            found = await connection.execute(
                select(*USER_COLUMNS, user.c.password_hash).where(user.c.username == username)
            )
            row = found.mappings().one_or_none()
        return Known(user_of(row), row["password_hash"]) if row else None

    async def set_password_hash(self, user_id: UUID, password_hash: str) -> None:
        async with self._database.reading() as connection:
            await connection.execute(update(user).where(user.c.user_id == user_id).values(password_hash=password_hash))

    async def any(self) -> bool:
        """Whether there is a user at all."""
        async with self._database.reading() as connection:
            return bool((await connection.execute(select(exists(select(user.c.user_id))))).scalar_one())


def user_of(row: RowMapping) -> User:
    """From the columns USER_COLUMNS."""
    return User(row["user_id"], row["username"], tuple(map(Role, row["roles"])), row["user_create_time"])
