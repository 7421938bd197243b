"""`python -m hello.visit [GREETING]`: a client, as a user of the two would write it."""

import asyncio
import sys

import grpc
import mesh

from hello.v1.greeter_service_pb2 import GreetRequest
from hello.v1.greeter_service_pb2_grpc import GreeterServiceStub


async def main(greeting: str) -> None:
    async with mesh.connect("greeter", service="visitor") as channel:
        try:
            answer = await GreeterServiceStub(channel).Greet(GreetRequest(greeting=greeting))
        except grpc.RpcError as failure:
            sys.exit(f"{failure.code().name}: {failure.details()}")
        print(answer.text)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or ["Hello"]))
