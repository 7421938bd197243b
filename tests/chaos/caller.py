"""`python -m tests.chaos.caller RATE METHOD`: an open-loop load on `auth`, a line for each call as it ends.

Open loop: a call begins when its time has come, whatever became of those before it, as with real callers.
"""

import asyncio
import json
import sys
import time

import grpc
import uvloop
from prometheus_client import REGISTRY
from retail.auth.v1 import auth_service_pb2 as auth
from retail.auth.v1.auth_service_pb2_grpc import AuthServiceStub

import mesh
from mesh.error import from_rpc_error
from mesh.telemetry import configure_logging

SERVICE = "auth"
DEADLINE_SECONDS = 10.0
"""More than it takes to find out that an instance has fallen silent (mesh/transport.py)."""


async def main(rate: float, method: str) -> None:
    async with mesh.connect(SERVICE) as channel:
        stub = AuthServiceStub(channel)
        await stub.GetJwks(auth.GetJwksRequest(), wait_for_ready=True)
        start, begun, calls = time.monotonic(), 0, set()
        while True:
            while begun < (time.monotonic() - start) * rate:
                begun += 1
                call = asyncio.create_task(one(stub, method))
                calls.add(call)
                call.add_done_callback(calls.discard)
                if begun % int(rate) == 0:
                    tell_of_the_mesh()
            await asyncio.sleep(0.5 / rate)


async def one(stub: AuthServiceStub, method: str) -> None:
    at, start = time.time(), time.monotonic()
    line: dict[str, object]
    try:
        if method == "Login":
            answer = await stub.Login(auth.LoginRequest(username="ada", password="secret"), timeout=DEADLINE_SECONDS)
            line = {"by": answer.tokens.access_token}
        else:
            line = {"by": (await stub.GetJwks(auth.GetJwksRequest(), timeout=DEADLINE_SECONDS)).keys[0].kid}
    except grpc.aio.AioRpcError as failure:
        told = from_rpc_error(failure)
        line = {"code": told.code, "reason": told.reason, "retry_after": told.retry_after, "details": told.message}
    print(json.dumps({"at": at, "took": time.monotonic() - start, **line}))


def tell_of_the_mesh() -> None:
    """The client's own counters."""
    samples = [sample for metric in REGISTRY.collect() for sample in metric.samples]

    def total(name: str) -> float:
        return sum(sample.value for sample in samples if sample.name == name)

    print(
        json.dumps(
            {
                "told_at": time.time(),
                "retries": total("mesh_client_retries_total"),
                "held_back": total("mesh_breaker_refused_total"),
                "breaker": total("mesh_breaker_state"),
            }
        )
    )


if __name__ == "__main__":
    configure_logging("caller", "client")
    uvloop.run(main(float(sys.argv[1]), sys.argv[2]))
