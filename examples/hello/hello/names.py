"""`python -m hello.names`: the service that is called."""

import secrets
from typing import Any

import mesh

from hello.v1.names_service_pb2 import PickNameRequest, PickNameResponse
from hello.v1.names_service_pb2_grpc import NamesServiceServicer

NAMES = ("Ada", "Grace", "Hedy", "Katherine")


class Names(NamesServiceServicer):
    async def PickName(self, request: PickNameRequest, context: Any) -> PickNameResponse:
        return PickNameResponse(name=secrets.choice(NAMES))


if __name__ == "__main__":
    mesh.run(mesh.serve(Names()))
