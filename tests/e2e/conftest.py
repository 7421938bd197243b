"""The whole platform, three months of a small shop loaded into it, and callers at its edge."""

import gzip
import hashlib
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
from retail.ingest.v1 import ingest_service_pb2 as ingest
from retail.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub

from mesh.local import Stack

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
DECEMBER = HEADER + (
    "536365,85123A,WHITE HANGING HEART T-LIGHT HOLDER,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom\n"
    '536365,71053,"LANTERN, ""WHITE""",4,2010-12-01 08:26:00,3.39,17850.0,United Kingdom\n'
    "536366,85123a,WHITE HANGING HEART T-LIGHT HOLDER,10,2010-12-02 10:00:00,2.55,,France\n"
    "536366,POST,POSTAGE,1,2010-12-02 10:00:00,18.00,,France\n"
    "536366,POST,POSTAGE,1,2010-12-02 10:00:00,18.00,,France\n"
)
JANUARY = HEADER + (
    "C540001,85123A,WHITE HANGING HEART T-LIGHT HOLDER,-2,1/4/2011 9:30,2.55,17850.0,United Kingdom\n"
    "540002,21731,RED TOADSTOOL LED NIGHT LIGHT,12,1/5/2011 12:00,1.65,15606.0,EIRE\n"
    "540003,21731,RED TOADSTOOL LED NIGHT LIGHT,zwölf,1/5/2011 12:00,1.65,15606.0,EIRE\n"
    "540004,21731,RED TOADSTOOL LED NIGHT LIGHT,1,2011-02-30 12:00:00,1.65,15606.0,EIRE\n"
    "540005,21731,RED TOADSTOOL\n"
)
REVENUE = {"2010-12": Decimal("72.36"), "2011-01": Decimal("14.70")}
"""6 * 2.55 + 4 * 3.39 + 10 * 2.55 + 18.00, and -2 * 2.55 + 12 * 1.65."""


@dataclass(frozen=True)
class Loaded:
    job: dict[str, Any]
    """As REST shows it."""


@pytest.fixture(scope="session")
def edge(platform: Stack) -> str:
    return f"127.0.0.1:{platform.port('edge')}"


@pytest.fixture(scope="session")
def tokens(platform: Stack, edge: str) -> dict[str, Any]:
    """What the first admin gets for the password that the first start made."""
    password = Path(platform.environment["ADMIN_PASSWORD_FILE"]).read_text()
    answer = httpx.post(f"http://{edge}/v1/auth:login", json={"username": "admin", "password": password})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["tokens"]
    return found


@pytest.fixture(scope="session")
def rest(edge: str, tokens: dict[str, Any]) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {tokens['accessToken']}"}
    with httpx.Client(base_url=f"http://{edge}", headers=headers, timeout=60) as client:
        yield client


@pytest_asyncio.fixture(scope="session")
async def channel(edge: str) -> AsyncIterator[grpc.aio.Channel]:
    """gRPC through the edge."""
    async with grpc.aio.insecure_channel(edge) as opened:
        yield opened


@pytest.fixture(scope="session")
def bearer(tokens: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {tokens['accessToken']}"),)


def upload(name: str, content: bytes) -> Iterator[ingest.UploadFilesRequest]:
    """The messages of one file, in small pieces."""
    yield ingest.UploadFilesRequest(filename=name)
    for begin in range(0, len(content), 100):
        piece = ingest.UploadFilesRequest()
        piece.content.data = content[begin : begin + 100]
        yield piece
    digest = ingest.FileDigest(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    yield ingest.UploadFilesRequest(digest=digest)


@pytest_asyncio.fixture(scope="session")
async def loaded(channel: grpc.aio.Channel, bearer: tuple[tuple[str, str], ...], rest: httpx.Client) -> Loaded:
    """December uploaded over gRPC, January over REST, and one job that has loaded both."""
    stub = IngestServiceStub(channel)
    december = await stub.UploadFiles(upload("december.csv", DECEMBER.encode()), metadata=bearer)
    january = rest.post(
        "/v1/files:upload",
        files=[("file", ("january.csv.gz", gzip.compress(JANUARY.encode("latin-1")), "application/gzip"))],
    )
    assert january.status_code == 200, january.text
    file_ids = [december.files[0].file_id, january.json()["files"][0]["fileId"]]
    answer = rest.post("/v1/jobs", json={"fileIds": file_ids, "requestId": str(uuid.uuid4())})
    assert answer.status_code == 200, answer.text
    return Loaded(finished(rest, answer.json()["job"]["jobId"]))


def finished(rest: httpx.Client, job_id: str) -> dict[str, Any]:
    """Watches a job over REST until its stream ends: one JSON object a line."""
    last: dict[str, Any] = {}
    with rest.stream("GET", f"/v1/jobs/{job_id}:watch", timeout=240) as answer:
        assert answer.status_code == 200
        for line in answer.iter_lines():
            if line:
                last = json.loads(line)["job"]
    return last
