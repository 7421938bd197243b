"""The real service on a database of its own and a lake in a folder."""

import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest_asyncio
from retail.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub

from mesh.testing import serving
from services.database import DatabaseSettings
from services.ingest.bootstrap import bootstrap
from services.ingest.domain.job import Counts, Stage
from services.ingest.pipeline import LandedFile
from services.ingest.rpc import MESSAGE_BYTES
from services.ingest.settings import Settings
from tests.databases import own_database

PERMISSIONS = {"files.write", "jobs.read", "jobs.write"}
Runs = Callable[[str, Sequence[LandedFile], Callable[[Stage, int], None], threading.Event], None]


@dataclass
class ScriptedPipeline:
    """Stands where Spark does: runs `script`, and says that every row of each file was accepted but some."""

    script: Runs = lambda *_: None
    quarantined: dict[str, int] = field(default_factory=dict)
    jobs: list[str] = field(default_factory=list)

    def run(
        self,
        job_id: str,
        files: Sequence[LandedFile],
        progress: Callable[[Stage, int], None],
        cancelled: threading.Event,
    ) -> tuple[dict[str, Counts], dict[str, int]]:
        self.jobs.append(job_id)
        self.script(job_id, files, progress, cancelled)
        refused = sum(self.quarantined.values())
        return {file.file_id: Counts(file.row_count - refused, 0, self.quarantined) for file in files}, {}


@dataclass
class World:
    """A lake and a database, and services over them."""

    database_url: str
    lake: Path

    @contextlib.asynccontextmanager
    async def ingest(self, pipeline: Any = None, **settings: Any) -> AsyncIterator[IngestServiceStub]:
        """A process of the service and a caller who may do everything."""
        url = DatabaseSettings.from_environment({"DATABASE_URL": self.database_url})
        chosen = Settings(url, self.lake.as_uri(), "sc://127.0.0.1:1", **settings)
        async with (
            bootstrap(chosen, pipeline=pipeline or ScriptedPipeline()) as rpc,
            serving(rpc, message_bytes=MESSAGE_BYTES) as served,
            served.channel(PERMISSIONS) as channel,
        ):
            yield IngestServiceStub(channel)

    def landed(self) -> list[str]:
        """The files in the landing area, relative to it."""
        landing = self.lake / "landing"
        return sorted(str(path.relative_to(landing)) for path in landing.rglob("*") if path.is_file())


@pytest_asyncio.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    lake = tmp_path / "lake"
    lake.mkdir()
    async with own_database(database_url) as own:
        yield World(own, lake)


@pytest_asyncio.fixture
async def ingest(world: World) -> AsyncIterator[IngestServiceStub]:
    async with world.ingest() as stub:
        yield stub
