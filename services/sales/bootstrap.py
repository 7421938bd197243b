"""Puts the sales service together. Tests swap parts here and nowhere else."""

import contextlib
from collections.abc import AsyncIterator

from services import database
from services.sales.rpc import SalesRpc
from services.sales.settings import Settings
from services.sales.store.sales import SaleStore
from services.sales.store.tables import MIGRATIONS, SCHEMA


@contextlib.asynccontextmanager
async def bootstrap(settings: Settings) -> AsyncIterator[SalesRpc]:
    """The service over its migrated schema. Raises StoreUnavailableError and MigrationError."""
    async with database.connected(settings.database, schema=SCHEMA, migrations=MIGRATIONS) as sales:
        yield SalesRpc(SaleStore(sales))
