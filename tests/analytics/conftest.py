from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from retail.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceStub

import mesh.testing
from services.analytics.bootstrap import bootstrap
from services.analytics.settings import Settings
from tests.gold_lake import GoldLake


@pytest.fixture
def lake(tmp_path: Path) -> GoldLake:
    return GoldLake(tmp_path / "lake")


@pytest_asyncio.fixture
async def server(lake: GoldLake) -> AsyncIterator[mesh.testing.Served]:
    async with bootstrap(Settings(lake.uri)) as rpc, mesh.testing.serving(rpc) as served:
        yield served


@pytest_asyncio.fixture
async def analytics(server: mesh.testing.Served) -> AsyncIterator[AnalyticsServiceStub]:
    async with server.channel(permissions={"analytics.read"}) as channel:
        yield AnalyticsServiceStub(channel)
