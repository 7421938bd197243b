"""The running platform as its users see it: typed gRPC straight to a service, and REST at the edge."""

import hashlib
import os
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from retail.analytics.v1 import analytics_service_pb2 as analytics
from retail.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceStub
from retail.auth.v1 import auth_service_pb2 as auth
from retail.auth.v1.auth_service_pb2_grpc import AuthServiceStub
from retail.ingest.v1 import ingest_service_pb2 as ingest
from retail.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from retail.sales.v1 import sales_service_pb2 as sales
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceStub
from retail.search.v1 import search_service_pb2 as search
from retail.search.v1.search_service_pb2_grpc import SearchServiceStub

import mesh
from mesh.local import Stack

_PIECE_BYTES = 512 * 1024
_REST_SECONDS = 60


@dataclass
class Platform:
    """Carries the token of whoever has logged in last."""

    edge: str
    """host:port."""
    consul: str
    """URL, also of its user interface."""
    password_file: Path
    """Of the first admin."""
    access_token: str = field(default="", repr=False)

    @classmethod
    def of(cls, stack: Stack) -> "Platform":
        """Also gives this process what `mesh.connect` needs. Raises LocalError if the stack isn't up."""
        environment = stack.environment
        os.environ.update(environment | {"MESH_SERVICE": "demo"})
        return cls(
            edge=f"127.0.0.1:{stack.port('edge')}",
            consul=environment["CONSUL_HTTP_ADDR"],
            password_file=Path(environment["ADMIN_PASSWORD_FILE"]),
        )

    async def login(self, user: str = "admin", password_file: Path | None = None) -> auth.Tokens:
        password = (password_file or self.password_file).read_text().strip()
        async with mesh.connect("auth") as channel:
            answer = await AuthServiceStub(channel).Login(auth.LoginRequest(username=user, password=password))
        self.access_token = answer.tokens.access_token
        return answer.tokens

    async def upload(self, files: Sequence[Path]) -> Sequence[ingest.File]:
        """All files in one stream."""
        async with self._channel("ingest") as channel:
            return (await IngestServiceStub(channel).UploadFiles(_messages(files))).files

    async def create_job(self, file_ids: Sequence[str]) -> ingest.Job:
        async with self._channel("ingest") as channel:
            request = ingest.CreateJobRequest(file_ids=file_ids, request_id=str(uuid.uuid4()))
            return (await IngestServiceStub(channel).CreateJob(request)).job

    async def watch_job(self, job_id: str) -> AsyncIterator[ingest.Job]:
        async with self._channel("ingest") as channel:
            async for answer in IngestServiceStub(channel).WatchJob(ingest.WatchJobRequest(job_id=job_id)):
                yield answer.job

    async def loaded_files(self) -> set[str]:
        """The ids of all files that are in the lake."""
        found: set[str] = set()
        async with self._channel("ingest") as channel:
            request = ingest.ListJobsRequest(page_size=500)
            while True:
                page = await IngestServiceStub(channel).ListJobs(request)
                # What a job that failed or was cancelled has left in the lake is not known: count it as loaded.
                found.update(file_id for job in page.jobs for file_id in job.file_ids)
                if not page.next_page_token:
                    return found
                request.page_token = page.next_page_token

    async def revenue_by_month(self) -> analytics.QueryRevenueResponse:
        async with self._channel("analytics") as channel:
            request = analytics.QueryRevenueRequest(group_by=analytics.REVENUE_GROUPING_MONTH, page_size=1000)
            return await AnalyticsServiceStub(channel).QueryRevenue(request)

    async def top_products(self) -> analytics.ListTopProductsResponse:
        async with self._channel("analytics") as channel:
            return await AnalyticsServiceStub(channel).ListTopProducts(analytics.ListTopProductsRequest(page_size=10))

    async def kpis(self) -> analytics.Kpis:
        async with self._channel("analytics") as channel:
            return (await AnalyticsServiceStub(channel).GetKpis(analytics.GetKpisRequest())).kpis

    async def sale(self, sale_id: str) -> sales.Sale:
        async with self._channel("sales") as channel:
            return (await SalesServiceStub(channel).GetSale(sales.GetSaleRequest(sale_id=sale_id))).sale

    async def find_products(self, query: str) -> search.SearchProductsResponse:
        async with self._channel("search") as channel:
            return await SearchServiceStub(channel).SearchProducts(search.SearchProductsRequest(query=query))

    async def rest(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """One REST call at the edge. Raises httpx.HTTPError, also for an answer that is an error."""
        headers = {"authorization": f"Bearer {self.access_token}"}
        async with httpx.AsyncClient(base_url=f"http://{self.edge}", headers=headers, timeout=_REST_SECONDS) as client:
            answer = (await client.request(method, path, **options)).raise_for_status()
            content: dict[str, Any] = answer.json()
            return content

    def _channel(self, service: str) -> Any:
        return mesh.connect(service, token=lambda: self.access_token)


async def _messages(files: Sequence[Path]) -> AsyncIterator[ingest.UploadFilesRequest]:
    """For each file its name, its pieces, and the digest that says that this was all of it."""
    for path in files:
        yield ingest.UploadFilesRequest(filename=path.name)
        sha256 = hashlib.sha256()
        with path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                sha256.update(piece)
                message = ingest.UploadFilesRequest()
                message.content.data = piece
                yield message
        digest = ingest.FileDigest(size_bytes=path.stat().st_size, sha256=sha256.hexdigest())
        yield ingest.UploadFilesRequest(digest=digest)
