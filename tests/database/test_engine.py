"""Transactions, and failures under their names."""

import asyncio

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from services import database
from services.database import Database, DatabaseSettings, StoreUnavailableError


async def in_one(shop: Database, *statements: str) -> None:
    """Runs the statements in one transaction."""
    async with shop.transaction() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def test_a_transaction_is_all_or_nothing(settings: DatabaseSettings) -> None:
    async with database.connected(settings, schema="shop") as shop:
        await in_one(shop, "CREATE TABLE item (name text)")
        with pytest.raises(DBAPIError, match="division by zero"):
            await in_one(shop, "INSERT INTO item VALUES ('lost')", "SELECT 1 / 0")
        await in_one(shop, "INSERT INTO item VALUES ('kept')")
        async with shop.reading() as connection:
            assert (await connection.execute(text("SELECT name FROM item"))).scalars().all() == ["kept"]
        assert shop.connections_in_use == 0


async def test_each_statement_of_a_reading_is_a_transaction_of_its_own(settings: DatabaseSettings) -> None:
    async with database.connected(settings, schema="shop") as shop:
        async with shop.reading() as connection:
            moments = [(await connection.execute(text("SELECT now()"))).scalar_one() for _ in range(2)]
        assert moments[0] < moments[1]
        async with shop.transaction() as connection:
            moments = [(await connection.execute(text("SELECT now()"))).scalar_one() for _ in range(2)]
        assert moments[0] == moments[1]


async def test_connections_that_the_server_ends_are_replaced(settings: DatabaseSettings, database_url: str) -> None:
    async with database.connected(settings, schema="shop") as shop:
        await asyncio.gather(*(shop.check() for _ in range(settings.pool_size)))
        server = await asyncpg.connect(database_url)
        ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1"
        assert len(await server.fetch(ended, settings.url.database)) > 0
        await server.close()
        for _ in range(settings.pool_size):
            await shop.check()


async def test_a_connection_lost_in_a_transaction_is_unavailability(settings: DatabaseSettings) -> None:
    async with database.connected(settings, schema="shop") as shop:
        with pytest.raises(StoreUnavailableError):
            await in_one(shop, "SELECT pg_terminate_backend(pg_backend_pid())", "SELECT 1")
        await shop.check()


async def test_a_database_that_takes_no_writes_is_unavailable(settings: DatabaseSettings) -> None:
    async with database.connected(settings, schema="shop") as shop:
        with pytest.raises(StoreUnavailableError, match="25006"):
            await in_one(shop, "SET TRANSACTION READ ONLY", "CREATE TABLE item ()")


async def test_a_defect_is_no_unavailability_and_hides_the_values(settings: DatabaseSettings) -> None:
    async with database.connected(settings, schema="shop") as shop:
        with pytest.raises(DBAPIError) as defect:
            async with shop.reading() as connection:
                await connection.execute(text("SELECT no_such_column, :value"), {"value": "a secret"})
        assert "no_such_column" in str(defect.value)
        assert "a secret" not in str(defect.value)
        assert shop.connections_in_use == 0
