"""A service as a process: how it starts, ends and refuses to start."""

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from retail.auth.v1 import auth_service_pb2 as auth
from retail.auth.v1.auth_service_pb2_grpc import AuthServiceStub

from mesh.registry import Instance
from mesh.serving import DRAIN_SECONDS, NOTICE_SECONDS
from tests.eventually import eventually, eventually_sync
from tests.meshed import connected_to
from tests.programs import Program, program

GREETER = "tests.control.greeter"


@pytest.fixture
def greeter(consul_address: str, tmp_path: Path) -> Iterator[Program]:
    environment = {"CONSUL_HTTP_ADDR": consul_address, "MESH_INSTANCE": "greeter-1", "MESH_VERSION": "7.8.9"}
    with program(GREETER, environment=environment, output=tmp_path / "log") as greeter:
        greeter.registered()
        yield greeter


@pytest.fixture
def address(greeter: Program) -> str:
    [registered] = greeter.said("registered")
    return str(registered["address"])


@pytest.fixture
def instance(address: str) -> Instance:
    host, _, port = address.rpartition(":")
    return Instance("auth", "greeter-1", host, int(port))


async def greeting(instance: Instance, consul_address: str, seconds: float) -> str:
    """Makes a call that takes so long."""
    async with connected_to(instance, consul_address) as channel:
        answer = await AuthServiceStub(channel).Login(auth.LoginRequest(username="ada", password=str(seconds)))
        return answer.tokens.access_token


async def under_way(greeter: Program, instance: Instance, consul_address: str, seconds: float) -> "asyncio.Task[str]":
    """A call that has reached its handler."""
    call = asyncio.create_task(greeting(instance, consul_address, seconds))

    async def working() -> bool:
        return bool(greeter.said("working"))

    await eventually(working)
    return call


def test_it_is_registered_with_its_facts_and_found_healthy(greeter: Program, consul_address: str) -> None:
    [entry] = httpx.get(f"{consul_address}/v1/health/service/auth", params={"passing": "1"}).json()
    assert entry["Service"]["ID"] == "greeter-1"
    assert entry["Service"]["Tags"] == ["mesh"]
    assert entry["Service"]["Meta"]["version"] == "7.8.9"

    def checked() -> bool:  # it is entered as passing; this is the word of the check itself
        check = httpx.get(f"{consul_address}/v1/agent/checks").json()["service:greeter-1"]
        return check["Status"] == "passing" and "success" in check["Output"]

    eventually_sync(checked)


async def test_a_signal_has_it_leave_consul_and_finish_what_is_under_way(
    greeter: Program, instance: Instance, consul_address: str
) -> None:
    call = await under_way(greeter, instance, consul_address, NOTICE_SECONDS + 1.5)
    greeter.process.send_signal(signal.SIGTERM)

    async def left() -> bool:
        return httpx.get(f"{consul_address}/v1/agent/service/greeter-1").status_code == 404

    await eventually(left)
    assert await greeting(instance, consul_address, 0) == "greeter-1"  # who has not heard of it yet is served

    async def refused() -> bool:
        try:
            await greeting(instance, consul_address, 0)
        except grpc.aio.AioRpcError as failure:
            return failure.code() is grpc.StatusCode.UNAVAILABLE
        return False

    await eventually(refused, NOTICE_SECONDS + 1)
    assert not call.done()
    assert await call == "greeter-1"
    assert await asyncio.to_thread(greeter.process.wait, 5) == 0
    assert greeter.lines()[-1]["message"] == "stopped"


async def test_a_second_signal_ends_it_at_once(greeter: Program, instance: Instance, consul_address: str) -> None:
    call = await under_way(greeter, instance, consul_address, 9)
    greeter.process.send_signal(signal.SIGTERM)
    eventually_sync(lambda: greeter.said("stopping"))
    start = time.monotonic()
    greeter.process.send_signal(signal.SIGINT)
    assert await asyncio.to_thread(greeter.process.wait, 5) == 1
    assert time.monotonic() - start < DRAIN_SECONDS / 2
    with pytest.raises(grpc.aio.AioRpcError) as lost:
        await call
    assert lost.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_second_signal_ends_it_even_while_something_blocks_its_loop(tmp_path: Path) -> None:
    with program("tests.mesh.blocked", environment={}, output=tmp_path / "log") as blocked:
        eventually_sync(lambda: blocked.said("blocked"), 20)
        blocked.process.send_signal(signal.SIGTERM)
        blocked.process.send_signal(signal.SIGINT)
        assert blocked.process.wait(5) == 1


@pytest.mark.parametrize(
    ("module", "variable", "value", "told"),
    [
        (GREETER, "CONSUL_HTTP_ADDR", "127.0.0.1:1", "Consul at 127.0.0.1:1: "),  # a control plane can do without
        *(
            (module, *refused)
            for module in (GREETER, "mesh.control")
            for refused in (
                ("CONSUL_HTTP_ADDR", "ftp://nowhere", "CONSUL_HTTP_ADDR='ftp://nowhere' is not http://HOST:PORT"),
                ("MESH_XDS_SERVERS", "nowhere", "MESH_XDS_SERVERS='nowhere' is not HOST:PORT"),
            )
        ),
    ],
)
def test_what_keeps_it_from_starting_is_one_line(
    tmp_path: Path, module: str, variable: str, value: str, told: str
) -> None:
    environment = {"CONSUL_HTTP_ADDR": "127.0.0.1:1", "MESH_XDS_SERVERS": "127.0.0.1:0", variable: value}
    with program(module, environment=environment, output=tmp_path / "log") as refused:
        assert refused.process.wait(15) == 1
        [said] = [line["text"] for line in refused.lines() if "text" in line]
    assert said.startswith("cannot start: ")
    assert told in said


def test_a_control_plane_on_a_taken_port_says_so(consul_address: str, address: str, tmp_path: Path) -> None:
    environment = {"CONSUL_HTTP_ADDR": consul_address}
    with program("mesh.control", "--listen", address, environment=environment, output=tmp_path / "control") as refused:
        assert refused.process.wait(15) == 1
        assert f"cannot start: nothing can listen on {address}" in refused.lines()[-1]["text"]
