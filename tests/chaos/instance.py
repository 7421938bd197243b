"""`python -m tests.chaos.instance`: an instance of `auth` that answers with its own name after WORK_SECONDS."""

import asyncio
import os
from typing import Any

from retail.auth.v1 import auth_service_pb2 as auth
from retail.auth.v1.auth_service_pb2_grpc import AuthServiceServicer

import mesh

NAME = os.environ.get("MESH_INSTANCE", "")
WORK_SECONDS = float(os.environ.get("WORK_SECONDS", "0"))


class Instance(AuthServiceServicer):
    async def GetJwks(self, request: Any, context: Any) -> auth.GetJwksResponse:
        """May be called twice, says its contract."""
        await asyncio.sleep(WORK_SECONDS)
        return auth.GetJwksResponse(keys=[auth.JsonWebKey(kid=NAME)])

    async def Login(self, request: Any, context: Any) -> auth.LoginResponse:
        """May not."""
        await asyncio.sleep(WORK_SECONDS)
        return auth.LoginResponse(tokens=auth.Tokens(access_token=NAME))

    Refresh = CreateUser = None  # type: ignore[assignment]


if __name__ == "__main__":
    mesh.run(mesh.serve(Instance()))
