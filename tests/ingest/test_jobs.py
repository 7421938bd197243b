"""Jobs as their callers see them."""

import asyncio
import inspect
import threading
import time
import uuid
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from retail.ingest.v1 import ingest_service_pb2 as pb
from retail.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub

from mesh.error import described
from services.ingest.domain.job import Stage
from services.ingest.pipeline import LakeUnavailableError, Pipeline, PipelineCancelledError, RowsNotConservedError
from tests.calls import all_rows, refused
from tests.eventually import eventually
from tests.ingest.conftest import ScriptedPipeline, World
from tests.ingest.uploading import CSV, HEADER, ROW, uploaded

NOBODY = str(uuid.uuid4())


def request_id() -> str:
    return str(uuid.uuid4())


def until(go_on: threading.Event) -> Any:
    """A script that waits."""

    def script(*_: Any) -> None:
        assert go_on.wait(20)

    return script


async def created(ingest: IngestServiceStub, *files: bytes) -> pb.Job:
    request = pb.CreateJobRequest(file_ids=await uploaded(ingest, *files), request_id=request_id())
    return (await ingest.CreateJob(request)).job


async def watched(ingest: IngestServiceStub, job_id: str) -> list[pb.Job]:
    """Each state that was told, until the job has ended."""
    return [answer.job async for answer in ingest.WatchJob(pb.WatchJobRequest(job_id=job_id), timeout=20)]


async def test_a_job_is_watched_to_its_end(world: World) -> None:
    def script(_: str, files: Any, progress: Any, cancelled: threading.Event) -> None:
        progress(Stage.BRONZE, 10)
        progress(Stage.SILVER, 50)
        assert not cancelled.wait(0.3)

    async with world.ingest(ScriptedPipeline(script)) as ingest:
        job = await created(ingest, CSV, CSV + ROW.encode())
        seen = await watched(ingest, job.job_id)
    last = seen[-1]
    assert (last.state, last.stage, last.progress_percent) == (pb.JOB_STATE_SUCCEEDED, pb.JOB_STAGE_DONE, 100)
    assert (last.counts.rows_read, last.counts.rows_accepted) == (3, 3)
    assert [report.counts.rows_read for report in last.files] == [1, 2]
    assert [state.progress_percent for state in seen] == sorted(state.progress_percent for state in seen)
    assert 50 in {state.progress_percent for state in seen}
    assert last.start_time.ToDatetime() <= last.end_time.ToDatetime()


async def test_another_process_hears_of_it(world: World) -> None:
    go_on = threading.Event()
    pipeline = ScriptedPipeline(until(go_on))
    async with world.ingest(pipeline) as one, world.ingest(pipeline) as other:
        job = await created(one, CSV)
        watching = [asyncio.create_task(watched(process, job.job_id)) for process in (one, other)]

        async def running() -> bool:
            answer = await one.GetJob(pb.GetJobRequest(job_id=job.job_id))
            return answer.job.state == pb.JOB_STATE_RUNNING

        await eventually(running)
        begin = time.monotonic()
        go_on.set()
        for seen in await asyncio.gather(*watching):
            assert seen[-1].state == pb.JOB_STATE_SUCCEEDED
        assert time.monotonic() - begin < 4  # who is told nothing looks again after 5 s


async def test_one_request_is_one_job_however_often_it_is_sent(ingest: IngestServiceStub) -> None:
    file_ids = await uploaded(ingest, CSV)
    request = pb.CreateJobRequest(file_ids=file_ids, request_id=request_id())
    answers = await asyncio.gather(*(ingest.CreateJob(request) for _ in range(10)))
    assert len({answer.job.job_id for answer in answers}) == 1
    other = pb.CreateJobRequest(file_ids=await uploaded(ingest, CSV * 2), request_id=request.request_id)
    assert (await refused(ingest.CreateJob(other))).reason == "REQUEST_ID_REUSED"


async def test_unknown_ones(ingest: IngestServiceStub) -> None:
    async def watch() -> None:
        async for _ in ingest.WatchJob(pb.WatchJobRequest(job_id=NOBODY)):
            pass

    assert (await refused(ingest.GetJob(pb.GetJobRequest(job_id=NOBODY)))).reason == "JOB_NOT_FOUND"
    assert (await refused(ingest.CancelJob(pb.CancelJobRequest(job_id=NOBODY)))).reason == "JOB_NOT_FOUND"
    assert (await refused(watch())).reason == "JOB_NOT_FOUND"
    request = pb.CreateJobRequest(file_ids=["0" * 64], request_id=request_id())
    assert (await refused(ingest.CreateJob(request))).reason == "FILE_NOT_FOUND"
    assert (await refused(ingest.GetJob(pb.GetJobRequest(job_id="no uuid")))).fields[0][0] == "job_id"


async def test_jobs_are_listed_newest_first_page_by_page(ingest: IngestServiceStub) -> None:
    made = [(await created(ingest, CSV)).job_id for _ in range(5)]

    async def page(token: str) -> pb.ListJobsResponse:
        return await ingest.ListJobs(pb.ListJobsRequest(page_size=2, page_token=token))

    assert [job.job_id for job in await all_rows(page, "jobs")] == list(reversed(made))
    token = (await page("")).next_page_token
    other = pb.ListJobsRequest(filter="state = FAILED", page_token=token)
    assert (await refused(ingest.ListJobs(other))).reason == "PAGE_TOKEN_INVALID"
    await watched(ingest, made[-1])
    assert len((await ingest.ListJobs(pb.ListJobsRequest(filter="state = SUCCEEDED"))).jobs) == 5
    assert (await ingest.ListJobs(pb.ListJobsRequest(filter="state = FAILED"))).jobs == []


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (LakeUnavailableError("away"), "LAKE_UNAVAILABLE"),
        (RowsNotConservedError("a.csv", 10, 9), "ROWS_NOT_CONSERVED"),
        (ZeroDivisionError("the secret cause"), "INTERNAL"),
    ],
)
async def test_a_job_that_fails_says_why(world: World, failure: Exception, reason: str) -> None:
    def script(*_: Any) -> None:
        raise failure

    async with world.ingest(ScriptedPipeline(script)) as ingest:
        job = (await watched(ingest, (await created(ingest, CSV)).job_id))[-1]
    assert (job.state, described(job.error).reason) == (pb.JOB_STATE_FAILED, reason)
    assert "secret" not in str(job)


async def test_a_running_job_is_cancelled(world: World) -> None:
    begun = threading.Event()

    def script(_: str, files: Any, progress: Any, cancelled: threading.Event) -> None:
        begun.set()
        assert cancelled.wait(20)
        raise PipelineCancelledError

    async with world.ingest(ScriptedPipeline(script)) as ingest:
        job = await created(ingest, CSV)
        await asyncio.to_thread(begun.wait, 20)
        await ingest.CancelJob(pb.CancelJobRequest(job_id=job.job_id))
        assert (await watched(ingest, job.job_id))[-1].state == pb.JOB_STATE_CANCELLED
        await ingest.CancelJob(pb.CancelJobRequest(job_id=job.job_id))  # again: idempotent


async def test_a_waiting_job_is_cancelled_at_once_and_an_ended_one_is_not(world: World) -> None:
    go_on = threading.Event()
    pipeline = ScriptedPipeline(until(go_on))
    async with world.ingest(pipeline) as ingest:
        running, waiting = await created(ingest, CSV), await created(ingest, CSV)
        answer = await ingest.CancelJob(pb.CancelJobRequest(job_id=waiting.job_id))
        assert answer.job.state == pb.JOB_STATE_CANCELLED
        go_on.set()
        await watched(ingest, running.job_id)
        why = await refused(ingest.CancelJob(pb.CancelJobRequest(job_id=running.job_id)))
        assert (why.reason, why.metadata["state"]) == ("JOB_ENDED", "SUCCEEDED")
    assert pipeline.jobs == [running.job_id]


QUARANTINED_ROW = pa.schema(
    [
        ("file_id", pa.string()),
        ("row_number", pa.int64()),
        ("reason", pa.string()),
        ("fields", pa.map_(pa.string(), pa.string())),
    ]
)


def quarantine(world: World, file_ids: Iterable[str], numbers: Iterable[int]) -> None:
    rows = [
        {"file_id": file_id, "row_number": number, "reason": "DATE_INVALID", "fields": [("Country", "France")]}
        for number in numbers
        for file_id in file_ids
    ]
    write_deltalake(world.lake / "silver" / "quarantined_row", pa.Table.from_pylist(rows, QUARANTINED_ROW))


async def test_quarantined_rows_come_in_file_and_row_order(world: World) -> None:
    async with world.ingest(ScriptedPipeline(quarantined={"DATE_INVALID": 3})) as ingest:
        job = await created(ingest, (HEADER + ROW * 3).encode(), (HEADER + ROW * 4).encode())
        counts = (await watched(ingest, job.job_id))[-1].counts
        assert (counts.rows_read, counts.rows_accepted, counts.rows_quarantined) == (7, 1, 6)
        assert [(count.reason, count.rows) for count in counts.quarantined] == [(pb.QUARANTINE_REASON_DATE_INVALID, 6)]
        empty = pb.ListQuarantinedRowsRequest(job_id=job.job_id)
        assert (await ingest.ListQuarantinedRows(empty)).rows == []
        quarantine(world, [*job.file_ids, "f" * 64], [3, 1, 2])

        async def page(token: str) -> pb.ListQuarantinedRowsResponse:
            request = pb.ListQuarantinedRowsRequest(job_id=job.job_id, page_size=2, page_token=token)
            return await ingest.ListQuarantinedRows(request)

        found = await all_rows(page, "rows")
        assert [(row.filename, row.row_number) for row in found] == [
            (filename, number) for filename in ("0.csv", "1.csv") for number in (1, 2, 3)
        ]
        assert dict(found[0].fields) == {"Country": "France"}
        assert found[0].reason == pb.QUARANTINE_REASON_DATE_INVALID
        other = await created(ingest, CSV)
        token = (await page("")).next_page_token
        request = pb.ListQuarantinedRowsRequest(job_id=other.job_id, page_size=2, page_token=token)
        assert (await refused(ingest.ListQuarantinedRows(request))).reason == "PAGE_TOKEN_INVALID"


async def test_quarantined_rows_of_a_job_that_has_not_counted_yet(world: World) -> None:
    go_on = threading.Event()
    async with world.ingest(ScriptedPipeline(until(go_on))) as ingest:
        job = await created(ingest, CSV)
        quarantine(world, job.file_ids, [1])
        answer = await ingest.ListQuarantinedRows(pb.ListQuarantinedRowsRequest(job_id=job.job_id))
        assert [row.row_number for row in answer.rows] == [1]
        go_on.set()


@pytest.mark.parametrize("away", ["silver/quarantined_row/*.parquet", "silver/quarantined_row/_delta_log/*", ""])
async def test_a_quarantine_that_cannot_be_read(world: World, away: str) -> None:
    async with world.ingest(ScriptedPipeline(quarantined={"DATE_INVALID": 1})) as ingest:
        job = await created(ingest, CSV)
        await watched(ingest, job.job_id)
        quarantine(world, job.file_ids, [1])
        if away:
            for path in world.lake.glob(away):
                path.write_bytes(b"damaged")
        else:
            world.lake.rename(world.lake.with_suffix(".away"))
        why = await refused(ingest.ListQuarantinedRows(pb.ListQuarantinedRowsRequest(job_id=job.job_id)))
        assert (why.reason, why.retry_after) == ("LAKE_UNAVAILABLE", 1.0)


def test_the_scripted_pipeline_is_called_as_the_real_one_is() -> None:
    def names(run: Any) -> list[str]:
        return list(inspect.signature(run).parameters)

    assert names(ScriptedPipeline.run) == names(Pipeline.run)
