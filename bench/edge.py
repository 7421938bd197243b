"""REST through the edge against the same call by the mesh's client: CPU of every process concerned, and latency.

GetSale, one call at a time, one caller; both sides check the same token and read the same row.
"""

import asyncio
import os
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil
from retail.sales.v1 import sales_service_pb2 as sales
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceStub

import mesh
from bench.cost import cost
from bench.results import Result
from mesh.local import Stack, processes, running

_ROUNDS = 7
_CALLS = 400
_CONCERNED = ("envoy", "services.sales", "postgres")
"""Where a call passes; Consul, the control plane and the other services have their own work meanwhile."""


def measure() -> Sequence[Result]:
    with running(["consul", "postgres", "envoy"], ["auth", "sales", "gateway"]) as stack:
        os.environ |= stack.environment  # for mesh.connect
        return asyncio.run(_measure(stack))


async def _measure(stack: Stack) -> Sequence[Result]:
    edge = f"127.0.0.1:{stack.port('edge')}"
    password = Path(stack.environment["ADMIN_PASSWORD_FILE"]).read_text()  # noqa: ASYNC240
    async with httpx.AsyncClient(base_url=f"http://{edge}") as rest:
        login = await rest.post("/v1/auth:login", json={"username": "admin", "password": password}, timeout=30)
        token = login.json()["tokens"]["accessToken"]
        async with mesh.connect("sales", service="demo", token=lambda: token) as channel:
            return await _compared(stack, rest, channel, {"authorization": f"Bearer {token}"})


async def _compared(
    stack: Stack, rest: httpx.AsyncClient, channel: grpc.aio.Channel, headers: Mapping[str, str]
) -> Sequence[Result]:
    price = {"currencyCode": "GBP", "units": "2", "nanos": 550_000_000}
    sale = {"country": "France", "lines": [{"stockCode": "85123A", "quantity": 6, "unitPrice": price}]}
    body = {"sale": sale, "requestId": str(uuid.uuid4())}
    sale_id = (await rest.post("/v1/sales", json=body, headers=headers)).json()["sale"]["saleId"]
    stub, request = SalesServiceStub(channel), sales.GetSaleRequest(sale_id=sale_id)

    async def over_rest() -> None:
        (await rest.get(f"/v1/sales/{sale_id}", headers=headers)).raise_for_status()

    async def over_grpc() -> None:
        await stub.GetSale(request)

    for call in (over_rest, over_grpc):
        await _round(call, [])  # to warm both up
    watched = [psutil.Process(), *(each for each in processes.of_stack(stack.run.path) if _is_concerned(each))]
    pairs = [(await _round(over_rest, watched), await _round(over_grpc, watched)) for _ in range(_ROUNDS)]
    return [
        Result.of("edge: CPU a call, REST / gRPC", [r.cpu for r, _ in pairs], [g.cpu for _, g in pairs], "us"),
        Result.of("edge: p50 of a call, REST / gRPC", [r.p50 for r, _ in pairs], [g.p50 for _, g in pairs], "us"),
    ]


@dataclass(frozen=True)
class _Round:
    cpu: float
    """Microseconds a call, of caller, Envoy, service and database together."""
    p50: float
    """Microseconds."""


async def _round(call: Callable[[], Awaitable[Any]], watched: Sequence[psutil.Process]) -> _Round:
    lasted = []
    with cost(watched) as spent:
        for _ in range(_CALLS):
            begin = time.perf_counter()
            await call()
            lasted.append(time.perf_counter() - begin)
    return _Round(spent.cpu / _CALLS * 1e6, statistics.median(lasted) * 1e6)


def _is_concerned(process: psutil.Process) -> bool:
    command = " ".join(process.cmdline())
    return any(name in command for name in _CONCERNED)
