"""A Consul that has lost all that it knew: a CA with another trust domain, no intentions, nobody registered."""

import shutil
from pathlib import Path

import grpc
from retail.auth.v1 import auth_service_pb2 as auth
from retail.auth.v1.auth_service_pb2_grpc import AuthServiceStub

from mesh.intentions import declare
from mesh.local import running
from mesh.local.supervisor import Supervisor
from mesh.registry import Instance, Registry
from tests.eventually import eventually, eventually_sync
from tests.meshed import connected_to
from tests.programs import program


async def test_who_is_called_and_who_calls_go_on_with_a_ca_made_anew(tmp_path: Path) -> None:
    with running(["consul"]) as stack:
        url = stack.environment["CONSUL_HTTP_ADDR"]
        environment = stack.environment | {"MESH_INSTANCE": "auth-1"}
        with program("tests.chaos.instance", environment=environment, output=tmp_path / "log") as served:
            served.registered()
            host, _, port = served.said("registered")[0]["address"].rpartition(":")
            instance = Instance("auth", "auth-1", host, int(port))

            async def answered(channel: grpc.aio.Channel) -> bool:
                try:
                    return bool(await AuthServiceStub(channel).GetJwks(auth.GetJwksRequest(), timeout=5))
                except grpc.aio.AioRpcError:
                    return False

            async with connected_to(instance, url) as before:
                assert await answered(before)
                supervisor = Supervisor(stack.run)
                supervisor.stop(["consul"])
                shutil.rmtree(stack.run.folder("consul"))
                supervisor.start("consul")
                eventually_sync(lambda: next(row for row in stack.status() if row.name == "consul").healthy, 30)
                async with Registry(url) as registry:
                    await declare(registry, {"auth": {"demo": ("*",)}})
                eventually_sync(
                    lambda: len(served.said("certificate taken")) >= 3, 20
                )  # the roots' turn, and the leaf's

                async def by_a_new_connection() -> bool:
                    async with connected_to(instance, url) as after:
                        return await answered(after)

                await eventually(by_a_new_connection, 20)

                async def by_the_old_one() -> bool:
                    return await answered(before)

                await eventually(by_the_old_one, 10)
