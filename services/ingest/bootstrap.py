"""Puts the ingest service together. Tests swap parts here and nowhere else."""

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

from mesh.background import background
from services import database
from services.ingest.pipeline import Pipeline
from services.ingest.rpc import IngestRpc
from services.ingest.settings import Settings
from services.ingest.store.changes import JobChanges
from services.ingest.store.jobs import JobStore
from services.ingest.store.landing import Landing
from services.ingest.store.quarantine import Quarantine
from services.ingest.store.tables import MIGRATIONS, SCHEMA
from services.ingest.uploads import Uploads
from services.ingest.worker import Runs, Worker
from services.lakehouse import Lakehouse


@contextlib.asynccontextmanager
async def bootstrap(settings: Settings, *, pipeline: Runs | None = None) -> AsyncIterator[IngestRpc]:
    """The service over its migrated schema, working on jobs until the block ends. Spark need not be there yet.

    Raises StoreUnavailableError and MigrationError.
    """
    lakehouse = Lakehouse(settings.lakehouse_uri)
    async with database.connected(settings.database, schema=SCHEMA, migrations=MIGRATIONS) as schema:
        jobs = JobStore(schema)
        changes = JobChanges(schema, jobs)
        uploads = Uploads(Landing(lakehouse, settings.file_bytes), jobs, settings.file_bytes)
        worker = Worker(
            jobs,
            changes,
            pipeline or Pipeline(settings.spark_remote, settings.lakehouse_uri),
            timedelta(seconds=settings.lease_seconds),
        )
        async with background(changes.follow(), "job-changes"), background(worker.run(), "worker"):
            yield IngestRpc(uploads, jobs, changes, Quarantine(lakehouse))
