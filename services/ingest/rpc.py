"""The gRPC adapter of ingest."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import grpc
from retail.ingest.v1 import ingest_service_pb2 as pb
from retail.ingest.v1.ingest_service_pb2_grpc import IngestServiceServicer

from mesh import aip
from services.ingest import rest_uploads
from services.ingest.domain.errors import UploadOutOfOrderError
from services.ingest.domain.job import State
from services.ingest.failures import contract_errors
from services.ingest.messages import file_message, job_message, quarantined_row
from services.ingest.store.changes import JobChanges
from services.ingest.store.jobs import JobStore
from services.ingest.store.quarantine import Place, Quarantine
from services.ingest.uploads import Upload, Uploads

MESSAGE_BYTES = 16 * 1024 * 1024
"""Room for a job of 1,000 files and its report, and for generous pieces of a file."""

_FILTER_FIELDS = {
    "state": aip.enumeration({name: state.value for state in State for name in (state.value, f"JOB_STATE_{state}")}),
    "create_time": aip.TIMESTAMP,
}

Context = grpc.aio.ServicerContext[Any, Any]


class IngestRpc(IngestServiceServicer):
    def __init__(self, uploads: Uploads, jobs: JobStore, changes: JobChanges, quarantine: Quarantine) -> None:
        self._uploads = uploads
        self._jobs = jobs
        self._changes = changes
        self._quarantine = quarantine

    async def UploadFiles(
        self, request_iterator: AsyncIterator[pb.UploadFilesRequest], context: Context
    ) -> pb.UploadFilesResponse:
        metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
        with contract_errors():
            async with self._uploads.begin() as upload:
                if rest_uploads.is_rest(metadata):
                    await rest_uploads.receive(request_iterator, metadata, upload)
                else:
                    await _receive(request_iterator, upload)
                return pb.UploadFilesResponse(files=[file_message(file) for file in upload.finish()])

    async def CreateJob(self, request: pb.CreateJobRequest, context: Context) -> pb.CreateJobResponse:
        with contract_errors():
            job = await self._jobs.create(request.file_ids, UUID(request.request_id))
        return pb.CreateJobResponse(job=job_message(job))

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        with contract_errors():
            return pb.GetJobResponse(job=job_message(await self._jobs.get(UUID(request.job_id))))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        wanted = aip.parse_filter(request.filter, _FILTER_FIELDS)
        cursor = aip.read_page_token(request, aip.TIMESTAMP.read, UUID)
        size = aip.page_size(request.page_size, default=50, maximum=500)
        with contract_errors():
            page = await self._jobs.page(wanted, cursor, size)
        token = ""
        if page.more:
            last = page.jobs[-1]
            token = aip.page_token(request, [last.create_time.isoformat(), str(last.job_id)])
        return pb.ListJobsResponse(jobs=[job_message(job) for job in page.jobs], next_page_token=token)

    async def WatchJob(self, request: pb.WatchJobRequest, context: Context) -> AsyncIterator[pb.WatchJobResponse]:
        with contract_errors():
            async for job in self._changes.watch(UUID(request.job_id)):
                yield pb.WatchJobResponse(job=job_message(job))

    async def CancelJob(self, request: pb.CancelJobRequest, context: Context) -> pb.CancelJobResponse:
        with contract_errors():
            return pb.CancelJobResponse(job=job_message(await self._jobs.request_cancel(UUID(request.job_id))))

    async def ListQuarantinedRows(
        self, request: pb.ListQuarantinedRowsRequest, context: Context
    ) -> pb.ListQuarantinedRowsResponse:
        cursor = aip.read_page_token(request, _positive, _natural)
        size = aip.page_size(request.page_size, default=50, maximum=500)
        with contract_errors():
            job = await self._jobs.get(UUID(request.job_id))
            behind = None if cursor is None else Place(*cursor)
            rows = await asyncio.to_thread(self._quarantine.rows, job.files, behind, size + 1)
        token = ""
        if len(rows) > size:
            last = rows[size - 1].place
            token = aip.page_token(request, [last.position, last.row_number])
        return pb.ListQuarantinedRowsResponse(rows=[quarantined_row(row) for row in rows[:size]], next_page_token=token)


async def _receive(requests: AsyncIterator[pb.UploadFilesRequest], upload: Upload) -> None:
    async for request in requests:
        if not (request.filename or request.HasField("content") or request.HasField("digest")):
            raise UploadOutOfOrderError("a message has neither filename, content nor digest")
        if request.filename:
            upload.begin_file(request.filename)
        if request.HasField("content"):
            await upload.write(request.content.data)
        if request.HasField("digest"):
            if not request.digest.sha256:
                raise UploadOutOfOrderError("a digest has no sha256")
            await upload.end_file(request.digest.size_bytes, request.digest.sha256)


def _positive(value: int) -> int:
    if not 1 <= value < 2**31:
        raise ValueError(value)
    return value


def _natural(value: int) -> int:
    if not 0 <= value < 2**53:
        raise ValueError(value)
    return value
