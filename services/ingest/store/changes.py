"""Hears of each change of a job, whichever process made it (PostgreSQL's LISTEN and NOTIFY)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from uuid import UUID

import mesh
from services.database import Database, StoreUnavailableError
from services.ingest.domain.job import Job
from services.ingest.store.jobs import JobStore
from services.ingest.store.tables import CHANGED

_LOOK_AGAIN_SECONDS = 5.0
"""What was changed while nobody listened is seen this late."""
_RECONNECT_SECONDS = 0.5

log = mesh.logger(__name__)


class JobChanges:
    def __init__(self, database: Database, jobs: JobStore) -> None:
        self._database = database
        self._jobs = jobs
        self._waiting: set[asyncio.Event] = set()

    async def follow(self) -> None:
        """Listens for ever, on one connection of its own; while the database is away it tries again."""
        while True:
            try:
                async with self._database.listening(CHANGED, self._wake) as lost:
                    self._wake()
                    await lost.wait()
            except StoreUnavailableError as problem:
                log.warning("not listening for changes of jobs", problem=str(problem))
            await asyncio.sleep(_RECONNECT_SECONDS)

    def _wake(self) -> None:
        for event in self._waiting:
            event.set()

    async def wait(self, changed: asyncio.Event, at_most_seconds: float = _LOOK_AGAIN_SECONDS) -> None:
        """Until any job may have changed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_seconds):
                await changed.wait()
        changed.clear()

    async def watch(self, job_id: UUID) -> AsyncIterator[Job]:
        """The job as it is now and at each change, until it has ended. Raises JobNotFoundError."""
        with self.heard() as changed:
            last: Job | None = None
            while last is None or not last.state.ended:
                try:
                    current = await self._jobs.get(job_id)
                except StoreUnavailableError:
                    if last is None:
                        raise
                    await self.wait(changed)  # a database that is away for a moment ends no watch
                    continue
                if current != last:
                    yield current
                    last = current
                if not current.state.ended:
                    await self.wait(changed)

    @contextlib.contextmanager
    def heard(self) -> Iterator[asyncio.Event]:
        """An event that is set at each change during the block; for `wait`."""
        changed = asyncio.Event()
        self._waiting.add(changed)
        try:
            yield changed
        finally:
            self._waiting.discard(changed)
