from collections.abc import AsyncIterator

import pytest_asyncio

from services.database import DatabaseSettings
from tests.databases import own_database


@pytest_asyncio.fixture
async def settings(database_url: str) -> AsyncIterator[DatabaseSettings]:
    """Of an empty database."""
    async with own_database(database_url) as url:
        yield DatabaseSettings.from_environment({"DATABASE_URL": url})
