"""`python -m services.auth`, as the stack starts it."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Mapping

import grpc
import jwt
from retail.auth.v1 import auth_service_pb2 as messages
from retail.auth.v1.auth_service_pb2_grpc import AuthServiceStub

from mesh.registry import Instance, Registry
from tests.auth.serving import ADA_PASSWORD, ADMIN_PASSWORD, Client, key_id, refused
from tests.eventually import eventually
from tests.meshed import connected_to


@contextlib.asynccontextmanager
async def started(environment: Mapping[str, str], instance: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.auth",
        env={"PATH": os.environ["PATH"], "MESH_INSTANCE": instance, **environment},
        stdout=PIPE,
        stderr=STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ended(process: Process) -> tuple[int | None, str]:
    """Exit code and all output of a process that ends by itself."""
    async with asyncio.timeout(30):
        output, _ = await process.communicate()
    return process.returncode, output.decode()


async def healthy(registry: Registry, count: int) -> tuple[Instance, ...]:
    """The instances of auth once there are so many."""
    async with asyncio.timeout(30):
        async for instances in registry.watch_healthy("auth"):
            if len(instances) == count:
                return instances
    raise AssertionError


def calling(
    instance: Instance, environment: Mapping[str, str], token: str | None = None
) -> contextlib.AbstractAsyncContextManager[grpc.aio.Channel]:
    return connected_to(instance, environment["CONSUL_HTTP_ADDR"], token=token)


async def test_two_processes_are_one_service_until_they_are_told_to_end(
    environment: dict[str, str], registry: Registry
) -> None:
    async with started(environment, "auth-1") as first, started(environment, "auth-2") as second:
        one, two = await healthy(registry, 2)
        async with calling(one, environment) as at_one, calling(two, environment) as at_two:
            tokens = await Client(AuthServiceStub(at_one)).log_in()
            refreshed = await Client(AuthServiceStub(at_two)).refresh(tokens)
        assert key_id(tokens) == key_id(refreshed)

        async with calling(two, environment, refreshed.access_token) as channel:
            admin = Client(AuthServiceStub(channel))

            async def created() -> messages.User:  # once the server has the key from Consul
                return await admin.create("ada", messages.ROLE_VIEWER)

            assert (await eventually(created)).username == "ada"
            ada = await admin.log_in("ada", ADA_PASSWORD)
        async with calling(one, environment, ada.access_token) as channel:
            assert (await refused(Client(AuthServiceStub(channel)).create("eve"))).reason == "PERMISSION_MISSING"

        outputs = []
        for process in (first, second):
            process.send_signal(signal.SIGTERM)
            code, output = await ended(process)
            assert code == 0, output
            outputs.append(output)
        assert await healthy(registry, 0) == ()
    said = "".join(outputs)
    assert said.count("first user made") == said.count('"signing keys changed"') == 1
    for secret in (ADMIN_PASSWORD, ADA_PASSWORD, tokens.refresh_token, tokens.access_token, ada.refresh_token):
        assert secret not in said
    assert jwt.get_unverified_header(tokens.access_token)["typ"] == "at+jwt"


async def test_a_malformed_setting_ends_it_with_one_line(environment: dict[str, str]) -> None:
    async with started(environment | {"AUTH_BCRYPT_COST": "high"}, "auth-1") as process:
        assert await ended(process) == (
            1,
            "cannot start: AUTH_BCRYPT_COST='high' is not a whole number from 4 to 20\n",
        )


async def test_an_empty_password_file_ends_it_with_one_line(environment: dict[str, str]) -> None:
    async with started(environment | {"ADMIN_PASSWORD_FILE": os.devnull}, "auth-1") as process:
        code, output = await ended(process)
    last = output.splitlines()[-1]
    assert code == 1
    assert last.startswith("cannot start: ADMIN_PASSWORD_FILE='/dev/null' holds no good password")
    assert "Traceback" not in output


async def test_without_consul_it_does_not_start(environment: dict[str, str]) -> None:
    async with started(environment | {"CONSUL_HTTP_ADDR": "127.0.0.1:1"}, "auth-1") as process:
        code, output = await ended(process)
    assert code == 1
    assert output.splitlines()[-1].startswith("cannot start: Consul at 127.0.0.1:1")
    assert "Traceback" not in output


async def test_without_its_database_it_does_not_start(environment: dict[str, str]) -> None:
    async with started(environment | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, "auth-1") as process:
        code, output = await ended(process)
    assert code == 1
    assert output.splitlines()[-1].startswith("cannot start: the database cannot be reached, or cannot work now: ")
    assert "Traceback" not in output
