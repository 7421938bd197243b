"""A server whose call never ends, as a process of its own. Writes its address."""

import asyncio
import json
from typing import Any

import uvloop
from retail.sales.v1 import sales_service_pb2 as sales
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceServicer

from mesh.server import Server


class Sales(SalesServiceServicer):
    async def GetSale(self, request: Any, context: Any) -> sales.GetSaleResponse:
        print(json.dumps({"message": "called"}), flush=True)
        await asyncio.Event().wait()
        raise AssertionError

    RecordSale = ListSales = None  # type: ignore[assignment]


async def main() -> None:
    server = Server(Sales())
    port = await server.start("127.0.0.1")
    print(json.dumps({"message": "serving", "address": f"127.0.0.1:{port}"}), flush=True)
    await server.wait()


if __name__ == "__main__":
    uvloop.run(main())
