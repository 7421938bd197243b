"""PostgreSQL away: callers are told when to come back, and jobs end all the same."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from retail.ingest.v1 import ingest_service_pb2 as pb
from retail.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub

from mesh.local import running
from services.ingest.domain.job import Stage
from tests.calls import refused
from tests.databases import Postgres
from tests.eventually import eventually
from tests.ingest.conftest import ScriptedPipeline, World
from tests.ingest.test_jobs import created, request_id
from tests.ingest.uploading import CSV, stream, uploaded, whole

SOMEBODY = request_id()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running(["postgres"]) as stack:
        yield Postgres(stack)


@pytest.fixture
def world(postgres: Postgres, tmp_path: Path) -> World:
    return World(postgres.url, tmp_path)


async def first(answers: AsyncIterator[Any]) -> Any:
    return await anext(answers)


async def test_without_its_database_the_service_says_when_to_come_back(postgres: Postgres, world: World) -> None:
    async with world.ingest() as ingest:
        file_ids = await uploaded(ingest, CSV)
        await asyncio.to_thread(postgres.stop)
        for call in (
            ingest.UploadFiles(stream(whole("a.csv", CSV))),
            ingest.CreateJob(pb.CreateJobRequest(file_ids=file_ids, request_id=request_id())),
            ingest.GetJob(pb.GetJobRequest(job_id=SOMEBODY)),
            ingest.ListJobs(pb.ListJobsRequest()),
            first(aiter(ingest.WatchJob(pb.WatchJobRequest(job_id=SOMEBODY)))),
            ingest.CancelJob(pb.CancelJobRequest(job_id=SOMEBODY)),
            ingest.ListQuarantinedRows(pb.ListQuarantinedRowsRequest(job_id=SOMEBODY)),
        ):
            why = await refused(call)
            assert (why.code, why.reason, why.retry_after) == ("UNAVAILABLE", "STORE_UNAVAILABLE", 1.0)
        postgres.start()
        await postgres.ready()
        assert await uploaded(ingest, CSV) == file_ids


async def ended(ingest: IngestServiceStub, job_id: str) -> pb.Job:
    """The job once it has ended, whatever its callers are told meanwhile."""

    async def look() -> pb.Job | None:
        job = (await ingest.GetJob(pb.GetJobRequest(job_id=job_id))).job
        return job if job.HasField("end_time") else None

    job = await eventually(look, timeout=20)
    assert job is not None
    return job


async def test_a_job_outlives_a_restart_of_the_database(postgres: Postgres, world: World) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def script(_: str, files: Any, progress: Any, cancelled: threading.Event) -> None:
        begun.set()
        assert go_on.wait(20)
        progress(Stage.GOLD, 75)

    pipeline = ScriptedPipeline(script)
    async with world.ingest(pipeline) as ingest:
        job_id = (await created(ingest, CSV)).job_id
        await asyncio.to_thread(begun.wait, 20)
        await asyncio.to_thread(postgres.stop)
        go_on.set()  # so it ends while nobody can be told
        postgres.start()
        await postgres.ready()
        job = await ended(ingest, job_id)
        assert (job.state, job.counts.rows_accepted) == (pb.JOB_STATE_SUCCEEDED, 1)
        assert (await ended(ingest, (await created(ingest, CSV)).job_id)).state == pb.JOB_STATE_SUCCEEDED
    assert pipeline.jobs.count(job_id) == 1
