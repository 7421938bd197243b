"""Works on jobs, one at a time in each process: claims the oldest, runs the pipeline, keeps what came of it.

A job belongs to a process as long as it says so (a lease). The pipeline is made of steps that can be repeated, so a
job whose process was killed anywhere is simply begun again by the next.
"""

import asyncio
import contextlib
import threading
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

import mesh
from mesh.background import background
from mesh.error import Error
from services.database import StoreUnavailableError
from services.ingest.domain.job import Counts, Job, Stage, State
from services.ingest.failures import failed_job
from services.ingest.pipeline import LandedFile, PipelineCancelledError
from services.ingest.store.changes import JobChanges
from services.ingest.store.jobs import JobStore

_ATTEMPTS = 3
"""A job that took its process down with it so often is given up."""

log = mesh.logger(__name__)


class Runs(Protocol):
    """What takes files to gold: services.ingest.pipeline.Pipeline."""

    def run(
        self,
        job_id: str,
        files: Sequence[LandedFile],
        progress: Callable[[Stage, int], None],
        cancelled: threading.Event,
    ) -> tuple[dict[str, Counts], dict[str, int]]: ...


class Worker:
    def __init__(self, jobs: JobStore, changes: JobChanges, pipeline: Runs, lease: timedelta) -> None:
        self._jobs = jobs
        self._changes = changes
        self._pipeline = pipeline
        self._lease = lease
        self._name = uuid.uuid4().hex

    async def run(self) -> None:
        """Works for ever. Cancelled in the middle of a job, it gives the job back."""
        with self._changes.heard() as changed:
            while True:
                try:
                    claimed = await self._jobs.claim(self._name, self._lease)
                    if claimed is not None:
                        await self._work(*claimed)
                        continue
                except StoreUnavailableError as problem:
                    log.warning("jobs can't be worked on", problem=str(problem))
                except Exception as defect:  # one job must not end the work on all others
                    log.error("jobs can't be worked on", exc_info=defect)
                await self._changes.wait(changed)

    async def _work(self, job: Job, attempt: int) -> None:
        log.info("job begins", job_id=str(job.job_id), files=len(job.files), attempt=attempt)
        if job.cancel_requested:
            await self._end(job, State.CANCELLED)
            return
        if attempt > _ATTEMPTS:
            await self._fail(job, RuntimeError(f"given up after {_ATTEMPTS} attempts"))
            return
        stop = threading.Event()
        async with background(self._hold(job, stop), f"lease-{job.job_id}"):
            try:
                counts = await self._run_pipeline(job, stop)
                await self._end(job, State.SUCCEEDED, counts=counts)
            except PipelineCancelledError:
                await self._end(job, State.CANCELLED)
            except asyncio.CancelledError:
                stop.set()
                with contextlib.suppress(StoreUnavailableError):  # then its lease ends
                    await self._jobs.give_back(job.job_id, self._name)
                raise
            except StoreUnavailableError:
                raise  # its lease ends, and the job is begun again
            except Exception as failure:
                await self._fail(job, failure)

    async def _run_pipeline(self, job: Job, stop: threading.Event) -> dict[str, Counts]:
        files = [LandedFile(each.file_id, each.filename, each.row_count) for each in job.files]
        loop = asyncio.get_running_loop()
        steps: asyncio.Queue[tuple[Stage, int]] = asyncio.Queue()

        def told(stage: Stage, percent: int) -> None:
            loop.call_soon_threadsafe(steps.put_nowait, (stage, percent))

        async with background(self._tell(job, steps), f"progress-{job.job_id}"):
            counts, versions = await asyncio.to_thread(self._pipeline.run, str(job.job_id), files, told, stop)
        log.info("gold refreshed", job_id=str(job.job_id), versions=versions)
        return counts

    async def _tell(self, job: Job, steps: "asyncio.Queue[tuple[Stage, int]]") -> None:
        while True:
            stage, percent = await steps.get()
            with contextlib.suppress(StoreUnavailableError):  # the next step says more
                await self._jobs.progress(job.job_id, self._name, stage, percent)

    async def _hold(self, job: Job, stop: threading.Event) -> None:
        """Keeps the lease, and stops the pipeline if it is lost or the job is to be cancelled."""
        with self._changes.heard() as changed:
            while not stop.is_set():
                with contextlib.suppress(StoreUnavailableError):
                    mine = await self._jobs.extend(job.job_id, self._name, self._lease)
                    if not mine or (await self._jobs.get(job.job_id)).cancel_requested:
                        stop.set()
                await self._changes.wait(changed, self._lease.total_seconds() / 3)

    async def _end(self, job: Job, state: State, **found: Any) -> None:
        """As long as the lease lasts: a database that is away for a moment shall not cost a job its work."""
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(StoreUnavailableError),
            stop=stop_after_delay(self._lease),
            wait=wait_random_exponential(0.1, max=2),
            reraise=True,
        ):
            with attempt:
                await self._jobs.end(job.job_id, self._name, state, **found)
        log.info("job ended", job_id=str(job.job_id), state=state)

    async def _fail(self, job: Job, failure: Exception) -> None:
        refusal: Error = failed_job(failure)
        await self._end(job, State.FAILED, error=refusal.status.SerializeToString())
        log.error("job failed", job_id=str(job.job_id), reason=refusal.reason, **refusal.metadata, exc_info=failure)
