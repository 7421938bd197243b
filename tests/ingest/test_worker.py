"""What becomes of jobs when processes die, stop or compete."""

import asyncio
import threading
import time
from collections import Counter
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from retail.ingest.v1 import ingest_service_pb2 as pb

from mesh.error import described
from services.database import DatabaseSettings, connected
from services.ingest.domain.job import Stage
from services.ingest.pipeline import PipelineCancelledError
from services.ingest.store.jobs import JobStore
from services.ingest.store.tables import MIGRATIONS, SCHEMA
from tests.eventually import eventually
from tests.ingest.conftest import ScriptedPipeline, World
from tests.ingest.test_jobs import created, watched
from tests.ingest.uploading import CSV


async def left_by_a_dead_process(world: World, attempts: int = 1) -> str:
    """A job that somebody claimed, and who has not been heard of since."""
    async with world.ingest(ScriptedPipeline(wait_for_stop)) as ingest:
        job_id = (await created(ingest, CSV)).job_id
    connection = await asyncpg.connect(world.database_url)
    await connection.execute(
        "UPDATE ingest.job SET state = 'RUNNING', owner = 'dead', attempts = $1, lease_end = now() - interval '1 s'",
        attempts,
    )
    await connection.close()
    return job_id


def wait_for_stop(_: str, files: Any, progress: Any, cancelled: threading.Event) -> None:
    assert cancelled.wait(20)
    raise PipelineCancelledError


async def test_a_job_whose_process_died_is_begun_again_by_another(world: World) -> None:
    job_id = await left_by_a_dead_process(world)
    pipeline = ScriptedPipeline()
    async with world.ingest(pipeline) as ingest:
        assert (await watched(ingest, job_id))[-1].state == pb.JOB_STATE_SUCCEEDED
    assert pipeline.jobs == [job_id]


async def test_a_job_that_takes_every_process_down_is_given_up(world: World) -> None:
    job_id = await left_by_a_dead_process(world, attempts=3)
    pipeline = ScriptedPipeline()
    async with world.ingest(pipeline) as ingest:
        job = (await watched(ingest, job_id))[-1]
    assert (job.state, described(job.error).reason) == (pb.JOB_STATE_FAILED, "INTERNAL")
    assert pipeline.jobs == []


async def test_a_process_that_stops_gives_its_job_back_at_once(world: World) -> None:
    begun = threading.Event()

    def script(*given: Any) -> None:
        begun.set()
        wait_for_stop(*given)

    async with world.ingest(ScriptedPipeline(script)) as ingest:
        job = await created(ingest, CSV)
        await asyncio.to_thread(begun.wait, 20)
    begin = time.monotonic()
    async with world.ingest(ScriptedPipeline()) as ingest:
        assert (await watched(ingest, job.job_id))[-1].state == pb.JOB_STATE_SUCCEEDED
    assert time.monotonic() - begin < 5  # and not after the 30 s of its lease


async def test_a_process_that_lost_its_lease_is_stopped(world: World) -> None:
    stopped = threading.Event()

    def script(*given: Any) -> None:
        try:
            wait_for_stop(*given)
        finally:
            stopped.set()

    async with world.ingest(ScriptedPipeline(script), lease_seconds=1) as ingest:
        job = await created(ingest, CSV)
        connection = await asyncpg.connect(world.database_url)

        async def running() -> bool:
            return str(await connection.fetchval("SELECT state FROM ingest.job")) == "RUNNING"

        await eventually(running)
        await connection.execute("UPDATE ingest.job SET owner = 'another', lease_end = now() + interval '1 h'")
        assert await asyncio.to_thread(stopped.wait, 20)
        assert (await ingest.GetJob(pb.GetJobRequest(job_id=job.job_id))).job.state == pb.JOB_STATE_RUNNING
        await connection.close()


async def test_no_job_is_worked_on_by_two_and_the_oldest_comes_first(world: World) -> None:
    running: Counter[str] = Counter()
    most: Counter[str] = Counter()
    lock = threading.Lock()

    def script(job_id: str, files: Any, progress: Any, cancelled: threading.Event) -> None:
        with lock:
            running[job_id] += 1
            most[job_id] = max(most[job_id], running[job_id])
        cancelled.wait(0.01)
        with lock:
            running[job_id] -= 1

    pipelines = [ScriptedPipeline(script) for _ in range(3)]
    async with (
        world.ingest(pipelines[0]) as ingest,
        world.ingest(pipelines[1]),
        world.ingest(pipelines[2]),
    ):
        jobs = [(await created(ingest, CSV)).job_id for _ in range(20)]
        for job_id in jobs:
            assert (await watched(ingest, job_id))[-1].state == pb.JOB_STATE_SUCCEEDED
    done = [job_id for pipeline in pipelines for job_id in pipeline.jobs]
    assert sorted(done) == sorted(jobs)
    assert set(most.values()) == {1}
    for pipeline in pipelines:
        assert pipeline.jobs == sorted(pipeline.jobs, key=jobs.index)


async def test_connections_that_the_server_ends_do_not_end_the_job(world: World) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def script(*_: Any) -> None:
        begun.set()
        go_on.wait(20)

    async with world.ingest(ScriptedPipeline(script)) as ingest:
        job = await created(ingest, CSV)
        await asyncio.to_thread(begun.wait, 20)
        connection = await asyncpg.connect(world.database_url)
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await connection.close()
        go_on.set()
        assert (await watched(ingest, job.job_id))[-1].state == pb.JOB_STATE_SUCCEEDED


async def test_two_claims_at_a_time_get_different_jobs(world: World) -> None:
    async with world.ingest(ScriptedPipeline(wait_for_stop)) as ingest:
        for _ in range(4):
            await created(ingest, CSV)
        settings = DatabaseSettings.from_environment({"DATABASE_URL": world.database_url})
        async with connected(settings, schema=SCHEMA, migrations=MIGRATIONS) as schema:
            jobs = JobStore(schema)
            claims = await asyncio.gather(*(jobs.claim(str(n), timedelta(minutes=1)) for n in range(6)))
    claimed = [claim[0].job_id for claim in claims if claim is not None]
    assert len(claimed) == len(set(claimed))


async def test_a_defect_ends_its_job_and_no_other(world: World) -> None:
    def script(_: str, files: Any, progress: Any, cancelled: threading.Event) -> None:
        progress(Stage.GOLD, 101)  # which the database refuses
        assert not cancelled.wait(0.2)

    pipeline = ScriptedPipeline(script)
    async with world.ingest(pipeline) as ingest:
        job = (await watched(ingest, (await created(ingest, CSV)).job_id))[-1]
        assert (job.state, described(job.error).reason) == (pb.JOB_STATE_FAILED, "INTERNAL")
        pipeline.script = lambda *_: None
        assert (await watched(ingest, (await created(ingest, CSV)).job_id))[-1].state == pb.JOB_STATE_SUCCEEDED


async def test_a_worker_outlives_a_defect_of_its_own(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async with world.ingest() as ingest:
        connection = await asyncpg.connect(world.database_url)
        await connection.execute("ALTER TABLE ingest.job RENAME COLUMN attempts TO gone; NOTIFY ingest_job_changed")

        async def said() -> bool:
            return "jobs can't be worked on" in caplog.text

        await eventually(said)
        await connection.execute("ALTER TABLE ingest.job RENAME COLUMN gone TO attempts")
        await connection.close()
        assert (await watched(ingest, (await created(ingest, CSV)).job_id))[-1].state == pb.JOB_STATE_SUCCEEDED
