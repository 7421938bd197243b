"""`python -m bench.instance KIND FOLDER LOOP`: one instance of sales with a canned answer, for others to measure.

It prints its port, and for each line on its standard input the seconds of CPU that it has used so far. KIND is `bare`
(a grpc.aio server), `options` (the same with the mesh's transport options) or `mesh` (the mesh's server with its whole
chain); `mesh-Token,Permission` leaves out those interceptors, `mesh-traces` the sampling of traces. FOLDER holds what
`bench.measured.Measured` put there.
"""

import asyncio
import sys
import time
from pathlib import Path

import grpc
import uvloop
from retail.sales.v1 import sales_service_pb2 as sales
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceServicer, add_SalesServiceServicer_to_server

from bench import certificates
from mesh.identity import Identity
from mesh.identity.credentials import server_credentials
from mesh.intentions import Intentions, entry, rules
from mesh.interceptors import Interceptor, server_chain
from mesh.interceptors.peer import Peer
from mesh.live.settings import Live, LiveSettings
from mesh.server import Server
from mesh.telemetry.process import observed
from mesh.token_keys import Published, TokenKeys
from mesh.transport import MESSAGE_BYTES, server_options

HOST = "127.0.0.1"
SERVICE = "sales"
CALLER = "demo"
KEYS = "token-keys.json"


class Sales(SalesServiceServicer):
    """Knows one sale."""

    def __init__(self) -> None:
        self._line = sales.SaleLine(line_number=1, stock_code="85123A", description="WHITE HANGING HEART", quantity=6)

    async def GetSale(self, request: sales.GetSaleRequest, context: object) -> sales.GetSaleResponse:  # noqa: N802
        sale = sales.Sale(sale_id=request.sale_id, country="France", lines=[self._line], version=1)
        return sales.GetSaleResponse(sale=sale)


async def main(kind: str, folder: Path) -> None:
    identity = Identity(folder / SERVICE, certificates.read(folder / SERVICE, SERVICE))
    credentials = server_credentials(identity)
    async with observed(SERVICE, f"{SERVICE}-{kind}", HOST):
        if kind in {"bare", "options"}:
            bare = grpc.aio.server(options=server_options(MESSAGE_BYTES) if kind == "options" else ())
            add_SalesServiceServicer_to_server(Sales(), bare)  # type: ignore[abstract]
            port = bare.add_secure_port(f"{HOST}:0", credentials)
            await bare.start()
        else:
            left_out = set(kind.partition("-")[2].split(","))
            live = Live(LiveSettings(trace_ratio=0) if "traces" in left_out else LiveSettings())
            chain = _chain(identity, folder, live)
            interceptors = [each for each in chain if type(each).__name__ not in left_out]
            server = Server(Sales(), interceptors=interceptors)  # type: ignore[abstract]
            port = await server.start(HOST, credentials=credentials)
        print(port, flush=True)
        await _answering()


def _chain(identity: Identity, folder: Path, live: Live) -> list[Interceptor]:
    keys = TokenKeys(Published.from_json((folder / KEYS).read_text()))
    allowed = rules([entry(SERVICE, {CALLER: ["retail.sales.v1.SalesService/*"]})])
    return server_chain(keys, live, Peer(identity, Intentions(SERVICE, allowed)))


async def _answering() -> None:
    ended = asyncio.Event()

    def answer() -> None:
        if not sys.stdin.readline():
            ended.set()
        else:
            print(time.process_time(), flush=True)

    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), answer)
    await ended.wait()
    loop.remove_reader(sys.stdin.fileno())


if __name__ == "__main__":
    run = uvloop.run if sys.argv[3] == "uvloop" else asyncio.run
    run(main(sys.argv[1], Path(sys.argv[2])))
