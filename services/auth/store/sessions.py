"""Sessions in PostgreSQL. Every method raises StoreUnavailableError when the database is away."""

from datetime import datetime

from sqlalchemy import CursorResult, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain.errors import RefreshTokenInvalidError, RefreshTokenReusedError
from services.auth.domain.session import RefreshToken, Session
from services.auth.domain.user import User
from services.auth.store.tables import refresh_token, session, user
from services.auth.store.users import USER_COLUMNS, user_of
from services.database import Database


class SessionStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, new: Session, token: RefreshToken) -> None:
        """Keeps a session with its first refresh token."""
        async with self._database.transaction() as connection:
            await connection.execute(
                insert(session).values(
                    session_id=new.session_id,
                    user_id=new.user.user_id,
                    create_time=new.create_time,
                    expire_time=new.expire_time,
                )
            )
            await _add(connection, new, token, new.create_time)

    async def exchange(self, token: RefreshToken, successor: RefreshToken, at: datetime) -> User:
        """Uses up a token and keeps its successor; returns whose session it is, with the roles they have now.

        Of several exchanges of one token, one succeeds. Raises RefreshTokenInvalidError, and RefreshTokenReusedError
        after ending the session.
        """
        async with self._database.transaction() as connection:
            current = await _locked(connection, token)
            if current is None or current.over(at):
                raise RefreshTokenInvalidError
            if await _use(connection, token, at):
                await _add(connection, current, successor, at)
                return current.user
            await connection.execute(
                update(session).where(session.c.session_id == current.session_id).values(end_time=at)
            )
        raise RefreshTokenReusedError(current.session_id, current.user.username)  # now that its end is committed

    async def delete_expired(self, at: datetime) -> int:
        """Forgets the sessions whose time is over, with their tokens; returns how many."""
        async with self._database.reading() as connection:
            deleted: CursorResult[tuple[()]] = await connection.execute(
                delete(session).where(session.c.expire_time <= at)
            )
            return deleted.rowcount


async def _locked(connection: AsyncConnection, token: RefreshToken) -> Session | None:
    """The token's session, which nobody else changes or refreshes until this transaction ends.

    The session and not the token is locked, as whoever deletes a session does: two orders would deadlock. Statements
    after this one see what the last holder of the lock has committed.
    """
    of_token = select(refresh_token.c.session_id).where(refresh_token.c.digest == token.digest).scalar_subquery()
    found = await connection.execute(
        select(session, *USER_COLUMNS[1:])
        .join(user, user.c.user_id == session.c.user_id)
        .where(session.c.session_id == of_token)
        .with_for_update(of=session)
    )
    row = found.mappings().one_or_none()
    if row is None:
        return None
    return Session(row["session_id"], user_of(row), row["create_time"], row["expire_time"], row["end_time"])


async def _use(connection: AsyncConnection, token: RefreshToken, at: datetime) -> bool:
    """Marks the token as used; False if it was already."""
    unused = (refresh_token.c.digest == token.digest) & refresh_token.c.use_time.is_(None)
    used: CursorResult[tuple[()]] = await connection.execute(update(refresh_token).where(unused).values(use_time=at))
    return used.rowcount == 1


async def _add(connection: AsyncConnection, owner: Session, token: RefreshToken, at: datetime) -> None:
    await connection.execute(
        insert(refresh_token).values(digest=token.digest, session_id=owner.session_id, create_time=at)
    )
