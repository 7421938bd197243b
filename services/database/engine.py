"""The engine and its pool."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.database.errors import naming_unavailability
from services.database.migrations import migrate
from services.database.settings import DatabaseSettings


class Database:
    """The schema of one service, through a pool of connections."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed at the end of the block and rolled back if it raises.

        Raises StoreUnavailableError; after that whether it was committed is not known.
        """
        with naming_unavailability():
            async with self._engine.begin() as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection on which each statement is a transaction of its own. Raises StoreUnavailableError."""
        with naming_unavailability():
            async with self._engine.connect() as connection:
                yield await connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextlib.asynccontextmanager
    async def listening(self, channel: str, heard: Callable[[], None]) -> AsyncIterator[asyncio.Event]:
        """Calls `heard` for each notification on a channel until the block ends, on a connection held for it alone.

        Yields an event that is set when that connection is lost. Raises StoreUnavailableError.
        """
        lost = asyncio.Event()
        async with self.reading() as connection:
            driver: asyncpg.Connection[Any] = (await connection.get_raw_connection()).driver_connection  # type: ignore[assignment]

            def listener(*_: object) -> None:
                heard()

            def gone(_: object) -> None:
                lost.set()

            driver.add_termination_listener(gone)
            await driver.add_listener(channel, listener)
            try:
                yield lost
            finally:
                driver.remove_termination_listener(gone)
                if not driver.is_closed():
                    await driver.remove_listener(channel, listener)

    async def check(self) -> None:
        """Raises StoreUnavailableError unless the database answers."""
        async with self.reading() as connection:
            await connection.execute(text("SELECT 1"))

    @property
    def connections_in_use(self) -> int:
        """Connections that somebody holds now."""
        return int(self._engine.pool.checkedout())  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def connected(
    settings: DatabaseSettings, *, schema: str, migrations: Path | None = None
) -> AsyncIterator[Database]:
    """The database, with the schema brought up to the newest of `migrations`; closed at the end of the block.

    Several processes may start at once. Raises StoreUnavailableError and MigrationError.
    """
    engine = _engine(settings, schema)
    try:
        with naming_unavailability():
            if migrations is not None:
                await migrate(engine, schema, migrations)
        yield Database(engine)
    finally:
        await engine.dispose()


def _engine(settings: DatabaseSettings, schema: str) -> AsyncEngine:
    engine = create_async_engine(
        settings.url,
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=settings.pool_wait_seconds,
        pool_use_lifo=True,  # what is not needed grows old and can be closed by the server
        hide_parameters=True,  # a logged error must not hold what a user sent
        connect_args={
            "timeout": settings.connect_seconds,
            "server_settings": {
                "application_name": schema,
                "jit": "off",  # compiling costs more than any of our short statements
                "timezone": "UTC",
                "idle_in_transaction_session_timeout": "60s",
            },
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _refuse_closed(dbapi_connection: Any, _record: object, _proxy: object) -> None:
    """After a restart of the server, pooled connections are known to be closed: take a new one, and ask no server."""
    if dbapi_connection.driver_connection.is_closed():
        raise DisconnectionError
