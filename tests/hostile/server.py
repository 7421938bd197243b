"""A server with the mesh's chain as a process of its own: hostile peers are told from its memory and its log.

Writes its address and a token; then a line for each upload that its handler took for complete, or saw cut off.
"""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import uvloop
from retail.ingest.v1 import ingest_service_pb2 as ingest
from retail.ingest.v1.ingest_service_pb2_grpc import IngestServiceServicer
from retail.sales.v1 import sales_service_pb2 as sales
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceServicer

from mesh.serving import DRAIN_SECONDS
from mesh.telemetry import configure_logging
from mesh.testing import serving


class Sales(SalesServiceServicer):
    async def GetSale(self, request: sales.GetSaleRequest, context: Any) -> sales.GetSaleResponse:
        return sales.GetSaleResponse(sale=sales.Sale(sale_id=request.sale_id))

    RecordSale = ListSales = None  # type: ignore[assignment]


class Ingest(IngestServiceServicer):
    async def UploadFiles(self, request_iterator: AsyncIterator[Any], context: Any) -> ingest.UploadFilesResponse:
        received = 0
        try:
            async for _ in request_iterator:
                received += 1
        except asyncio.CancelledError:
            say(message="cut off", received=received)
            raise
        say(message="complete", received=received)
        return ingest.UploadFilesResponse()

    CreateJob = GetJob = ListJobs = CancelJob = WatchJob = ListQuarantinedRows = None  # type: ignore[assignment]


def say(**line: object) -> None:
    print(json.dumps(line), flush=True)


async def main() -> None:
    configure_logging("hostile", "")
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with serving(Sales(), Ingest()) as served:
        token = served.issuer.token(permissions={"sales.read", "files.write"})
        say(message="serving", address=served.address, token=token, pid=os.getpid())
        await stopping.wait()
        await served.server.stop(DRAIN_SECONDS)
    say(message="stopped")


if __name__ == "__main__":
    uvloop.run(main())
