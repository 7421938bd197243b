"""`python -m tests.control.caller NAME`: calls the service without a pause, and writes a line for each answer.

A process of its own, since gRPC reads one xDS bootstrap a process.
"""

import asyncio
import json
import os
import sys
import time

import grpc
from retail.auth.v1 import auth_service_pb2 as auth
from retail.auth.v1.auth_service_pb2_grpc import AuthServiceStub

import mesh
from mesh.telemetry import configure_logging

_PAUSE_SECONDS = 0.01


async def main(name: str) -> None:
    async with mesh.connect(name) as channel:
        service = AuthServiceStub(channel)
        while True:
            start = time.time()
            try:
                answer = await service.GetJwks(auth.GetJwksRequest())
                line = {"by": answer.keys[0].kid}
            except grpc.aio.AioRpcError as failure:
                line = {"code": failure.code().name, "details": str(failure.details())}
            print(json.dumps({"at": start, "took": time.time() - start, **line}))
            await asyncio.sleep(_PAUSE_SECONDS)


if __name__ == "__main__":
    configure_logging("client", os.environ["MESH_INSTANCE"])
    asyncio.run(main(sys.argv[1]))
