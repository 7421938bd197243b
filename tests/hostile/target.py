"""Whom the hostile peers are set upon."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc
from retail.ingest.v1 import ingest_service_pb2 as ingest
from retail.sales.v1 import sales_service_pb2 as sales

from mesh.transport import MESSAGE_BYTES
from tests.hostile.peer import Answer, Headers, framed, peer

GET_SALE = "/retail.sales.v1.SalesService/GetSale"
UPLOAD_FILES = "/retail.ingest.v1.IngestService/UploadFiles"
SALE_ID = "6f1d9f3e-58b1-4f6b-9c38-0d6d3a1f2b11"
REQUEST = sales.GetSaleRequest(sale_id=SALE_ID).SerializeToString()
PIECE = ingest.UploadFilesRequest(filename="a.csv").SerializeToString()
WELL = frozenset({grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND})
"""How a good call ends: there may be such a sale or not."""


@dataclass(frozen=True)
class Target:
    address: str
    token: str
    """Lets its bearer read sales and upload files."""
    pids: tuple[int, ...] = ()
    """The processes whose memory must stay bounded."""
    message_bytes: int = MESSAGE_BYTES
    """The largest message that GetSale takes."""

    @property
    def headers(self) -> Headers:
        return [("authorization", f"Bearer {self.token}")]

    async def serves(self) -> None:
        """A neighbour with a connection of its own gets its answer, soon: most of the time is this test's own."""
        async with peer(self.address) as neighbour:
            answer = await neighbour.call(GET_SALE, [*self.headers, ("grpc-timeout", "8S")], REQUEST)
        assert answer.status in WELL, answer

    async def serves_during(self, attack: Callable[[], Awaitable[None]]) -> None:
        """Neighbours are served before, all along and after the attack."""
        await self.serves()
        attacking = asyncio.ensure_future(attack())
        while not attacking.done():
            await self.serves()
        await attacking
        await self.serves()


def refused_well(answer: Answer) -> bool:
    """It ended by a status, or by the frame that HTTP/2 has for it, and told nothing of the inside."""
    if answer.status is None and answer.reset is None and answer.headers.get(":status", "200") == "200":
        return False
    return not any(word in f"{answer.headers}{answer.data!r}" for word in ("Traceback", "Unexpected <class", ".py"))


__all__ = ["GET_SALE", "PIECE", "REQUEST", "SALE_ID", "UPLOAD_FILES", "WELL", "Target", "framed", "refused_well"]
