"""`python -m tests.control.greeter`: an instance of `auth` that answers with its own name, and asks for no token."""

import asyncio
import os
from typing import Any

from retail.auth.v1 import auth_service_pb2 as auth
from retail.auth.v1.auth_service_pb2_grpc import AuthServiceServicer

import mesh

log = mesh.logger(__name__)


class Greeter(AuthServiceServicer):
    async def GetJwks(self, request: Any, context: Any) -> auth.GetJwksResponse:
        return auth.GetJwksResponse(keys=[auth.JsonWebKey(kid=os.environ["MESH_INSTANCE"])])

    async def Login(self, request: Any, context: Any) -> auth.LoginResponse:
        """Takes as many seconds as the password says."""
        log.info("working")
        await asyncio.sleep(float(request.password))
        return auth.LoginResponse(tokens=auth.Tokens(access_token=os.environ["MESH_INSTANCE"]))

    Refresh = CreateUser = None  # type: ignore[assignment]


if __name__ == "__main__":
    mesh.run(mesh.serve(Greeter()))
