"""The sales service over a database of its own for each module, as its tests call it."""

from collections.abc import AsyncIterator

import pytest_asyncio
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceStub

from mesh.testing import Served
from services.database import Database
from tests.databases import own_database
from tests.sales.selling import PERMISSIONS, serving_sales, settings


@pytest_asyncio.fixture(scope="module")
async def own_url(database_url: str) -> AsyncIterator[str]:
    async with own_database(database_url) as url:
        yield url


@pytest_asyncio.fixture(scope="module")
async def service(own_url: str) -> AsyncIterator[tuple[Served, Database]]:
    async with serving_sales(settings(own_url)) as service:
        yield service


@pytest_asyncio.fixture(scope="module")
async def sales(service: tuple[Served, Database]) -> AsyncIterator[SalesServiceStub]:
    """Called by somebody with all permissions."""
    server, _ = service
    async with server.channel(PERMISSIONS) as channel:
        yield SalesServiceStub(channel)
