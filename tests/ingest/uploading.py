"""The messages of uploads."""

import hashlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

from retail.ingest.v1.ingest_service_pb2 import FileDigest, UploadFilesRequest
from retail.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
ROW = "536365,85123A,HEART,6,2010-12-01 08:26:00,2.55,17850.0,France\n"
CSV = (HEADER + ROW).encode()


def name(filename: str) -> UploadFilesRequest:
    return UploadFilesRequest(filename=filename)


def piece(data: bytes, content_type: str = "") -> UploadFilesRequest:
    request = UploadFilesRequest()
    request.content.data = data
    request.content.content_type = content_type
    return request


def digest(data: bytes, **other: Any) -> UploadFilesRequest:
    """Of the whole file."""
    facts: dict[str, Any] = {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} | other
    return UploadFilesRequest(digest=FileDigest(**facts))


def whole(filename: str, data: bytes) -> list[UploadFilesRequest]:
    half = len(data) // 2
    return [name(filename), piece(data[:half]), piece(data[half:]), digest(data)]


async def stream(requests: Iterable[UploadFilesRequest]) -> AsyncIterator[UploadFilesRequest]:
    for request in requests:
        yield request


async def uploaded(ingest: IngestServiceStub, *files: bytes) -> list[str]:
    """The ids of files that are uploaded now."""
    requests = [request for number, data in enumerate(files) for request in whole(f"{number}.csv", data)]
    return [file.file_id for file in (await ingest.UploadFiles(stream(requests))).files]
