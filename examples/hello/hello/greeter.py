"""`python -m hello.greeter`: the service that calls another."""

from typing import Any

import grpc
import mesh

from hello.v1.error_reason_pb2 import ErrorReason
from hello.v1.greeter_service_pb2 import GreetRequest, GreetResponse
from hello.v1.greeter_service_pb2_grpc import GreeterServiceServicer
from hello.v1.names_service_pb2 import PickNameRequest
from hello.v1.names_service_pb2_grpc import NamesServiceStub

error = mesh.errors(ErrorReason)


class Greeter(GreeterServiceServicer):
    def __init__(self, names: NamesServiceStub) -> None:
        self._names = names

    async def Greet(self, request: GreetRequest, context: Any) -> GreetResponse:
        # Called as `greeter`, in what is left of this call's time, as a part of its trace.
        try:
            picked = await self._names.PickName(PickNameRequest())
        except grpc.RpcError as failure:
            raise error(ErrorReason.ERROR_REASON_NO_NAME, answer=failure.code().name) from failure
        return GreetResponse(text=f"{request.greeting}, {picked.name}!")


async def main() -> None:
    async with mesh.connect("names") as channel:
        await mesh.serve(Greeter(NamesServiceStub(channel)))


if __name__ == "__main__":
    mesh.run(main())
