"""`python -m tests.gateway.ingest`: stands where ingest does, to show what the edge makes of uploads and of streams."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf import json_format
from retail.ingest.v1 import ingest_service_pb2 as ingest
from retail.ingest.v1.ingest_service_pb2_grpc import IngestServiceServicer

import mesh

log = mesh.logger(__name__)

_MOMENT_SECONDS = 0.05


class Ingest(IngestServiceServicer):
    async def UploadFiles(self, request_iterator: AsyncIterator[Any], context: Any) -> Any:
        """Answers with the bytes of all requests as one file, and logs what came, however it ended."""
        content, sizes, heads = hashlib.sha256(), list[int](), list[Any]()
        ended, cancelled = False, False
        log.info("upload begun")
        try:
            async for request in request_iterator:
                content.update(request.content.data)
                sizes.append(len(request.content.data))
                request.content.ClearField("data")
                heads.append(json_format.MessageToDict(request))
            ended = True
            await asyncio.sleep(_MOMENT_SECONDS)
        except asyncio.CancelledError:
            cancelled = True
            raise
        finally:
            metadata = {key: str(value) for key, value in context.invocation_metadata()}
            log.info("upload", ended=ended, cancelled=cancelled, sizes=sizes, heads=heads, metadata=metadata)
        filename = heads[0].get("filename", "") if heads else ""
        file = ingest.File(filename=filename, size_bytes=sum(sizes), sha256=content.hexdigest())
        return ingest.UploadFilesResponse(files=[file])

    async def WatchJob(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Three changes of a job, and then nothing until the caller leaves, if the id ends with 0."""
        try:
            for percent in (0, 50, 100):
                yield ingest.WatchJobResponse(job=ingest.Job(job_id=request.job_id, progress_percent=percent))
            if request.job_id.endswith("0"):
                await asyncio.Event().wait()
        finally:
            log.info("watch ended", job_id=request.job_id)

    async def _unimplemented(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    CreateJob = GetJob = ListJobs = CancelJob = ListQuarantinedRows = _unimplemented


if __name__ == "__main__":
    mesh.run(mesh.serve(Ingest()))
