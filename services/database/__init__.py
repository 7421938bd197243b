"""PostgreSQL for services: one engine a process, one schema a service, migrations at the start.

async with database.connected(settings, schema="sales", migrations=MIGRATIONS) as sales_database:
    async with sales_database.transaction() as connection:
        await connection.execute(...)
"""

from services.database.engine import Database, connected
from services.database.errors import StoreUnavailableError
from services.database.migrations import MigrationError
from services.database.queries import SortKey, after, condition, ordering
from services.database.settings import DatabaseSettings

__all__ = [
    "Database",
    "DatabaseSettings",
    "MigrationError",
    "SortKey",
    "StoreUnavailableError",
    "after",
    "condition",
    "connected",
    "ordering",
]
