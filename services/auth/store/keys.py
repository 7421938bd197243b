"""Signing keys in PostgreSQL. Everything here raises StoreUnavailableError when the database is away."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict

from sqlalchemy import delete, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain.keys import SigningKey
from services.auth.store.tables import signing_key
from services.database import Database


class KeyStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    @contextlib.asynccontextmanager
    async def locked(self) -> AsyncIterator["LockedKeys"]:
        """The keys, for one process at a time. What it changes is kept when the block ends without raising."""
        async with self._database.transaction() as connection:
            await connection.execute(text("LOCK TABLE auth.signing_key IN EXCLUSIVE MODE"))
            yield LockedKeys(connection)


class LockedKeys:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def read(self) -> tuple[SigningKey, ...]:
        """The oldest first."""
        rows = await self._connection.execute(select(signing_key).order_by(signing_key.c.create_time))
        return tuple(SigningKey(**row) for row in rows.mappings())

    async def replace(self, keys: Sequence[SigningKey]) -> None:
        """Keeps these and no others."""
        await self._connection.execute(delete(signing_key))
        await self._connection.execute(insert(signing_key), [asdict(key) for key in keys])
