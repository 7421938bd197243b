"""A whole stack of real components and one service."""

import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis

from mesh.local import Row, Stack, processes
from mesh.local.logs import Logs
from tests.eventually import eventually_sync
from tests.local.conftest import Told


def row(stack: Stack, name: str) -> Row:
    return next(row for row in stack.status() if row.name == name)


def pid(stack: Stack, command: str) -> int:
    """The process whose command line contains `command`."""
    found = processes.of_stack(stack.run.path)
    return next(process.pid for process in found if command in " ".join(process.cmdline()))


async def test_everything_in_the_environment_can_be_used(stack: Stack) -> None:
    environment = stack.environment
    with urllib.request.urlopen(environment["CONSUL_HTTP_ADDR"] + "/v1/status/leader") as answer:
        assert answer.read() != b'""'
    connection = await asyncpg.connect(environment["DATABASE_URL"])
    assert await connection.fetchval("SHOW fsync") == "on"
    await connection.close()
    with redis.Redis.from_url(environment["REDIS_URL"]) as client:
        assert client.ping()
        assert client.config_get("appendonly") == {"appendonly": "yes"}
    assert Path(environment["LAKEHOUSE_URI"].removeprefix("file://")).is_dir()
    assert Path(environment["ADMIN_PASSWORD_FILE"]).read_text()
    assert environment["MESH_VERSION"] == "7.8.9"


def test_status_has_every_part_with_its_facts(stack: Stack) -> None:
    rows = {row.name: row for row in stack.status()}
    assert set(rows) == {"supervisor", "consul", "postgres", "valkey", "lakehouse", "worker-1"}
    assert all(row.healthy for row in rows.values()), rows
    assert rows["postgres"].version.startswith("18.")
    assert rows["worker-1"].version == "7.8.9"
    assert rows["worker-1"].address.startswith("127.0.0.1:")
    assert all(row.since for row in rows.values() if row.name != "lakehouse")


def test_no_secret_is_shown(stack: Stack) -> None:
    secrets = [path.read_text() for path in (stack.run.path / "secrets").iterdir()]
    shown = str(stack.status()) + "".join(" ".join(p.cmdline()) for p in processes.of_stack(stack.run.path))
    assert len(secrets) == 3
    assert not [secret for secret in secrets if secret in shown]


def test_only_the_owner_can_read_the_run_folder(stack: Stack) -> None:
    for folder, _, files in os.walk(stack.run.path):
        for path in [Path(folder), *(Path(folder, file) for file in files)]:
            assert path.lstat().st_mode & 0o077 == 0, path


def test_everything_listens_on_loopback_only(stack: Stack) -> None:
    listening = [
        connection.laddr.ip
        for process in processes.of_stack(stack.run.path)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert set(listening) <= {"127.0.0.1", "::1"}
    assert len(listening) >= 4


def test_up_again_changes_nothing(stack: Stack) -> None:
    before = {process.pid for process in processes.of_stack(stack.run.path)}
    assert not stack.up()
    # PostgreSQL's own workers come and go
    after = {process.pid for process in processes.of_stack(stack.run.path)}
    assert {pid for pid in before - after if psutil.pid_exists(pid)} == set()
    assert pid(stack, "supervisord") in before


def test_a_crashed_instance_is_restarted_and_that_is_said(stack: Stack) -> None:
    restarts = row(stack, "worker-1").restarts
    os.kill(pid(stack, "worker.py"), signal.SIGKILL)
    eventually_sync(lambda: row(stack, "worker-1").restarts == restarts + 1 and row(stack, "worker-1").healthy)
    said = [line for program, line in Logs(stack.run).last("worker", 20) if program == "supervisor"]
    assert any("exited: worker-1 (terminated by SIGKILL" in line for line in said)
    assert "spawned: 'worker-1'" in said[-1] or "success: worker-1" in said[-1]


def test_a_crashed_component_is_restarted_with_its_data(stack: Stack) -> None:
    with redis.Redis.from_url(stack.environment["REDIS_URL"]) as client:
        client.set("kept", "yes")
        os.kill(pid(stack, "valkey-server"), signal.SIGKILL)
        eventually_sync(lambda: row(stack, "valkey").restarts == 1 and row(stack, "valkey").healthy)
        assert client.get("kept") == b"yes"


@pytest.fixture
def two_workers(stack: Stack) -> Iterator[Stack]:
    told = Told()
    stack.up({"worker": 2}, told)
    assert any(line.startswith("worker-2 ready") for line in told.lines)
    yield stack
    stack.up({"worker": 1})


def test_a_running_service_scales_up_and_down(two_workers: Stack) -> None:
    assert row(two_workers, "worker-1").healthy
    assert row(two_workers, "worker-2").healthy
    first = pid(two_workers, "worker.py")
    two_workers.up({"worker": 1})
    assert "worker-2" not in {row.name for row in two_workers.status()}
    assert pid(two_workers, "worker.py") == first
    with urllib.request.urlopen(two_workers.environment["CONSUL_HTTP_ADDR"] + "/v1/agent/services") as answer:
        assert b"worker-2" not in answer.read()


def test_an_instance_that_consul_does_not_know_is_unhealthy(stack: Stack) -> None:
    url = stack.environment["CONSUL_HTTP_ADDR"] + "/v1/agent/service/deregister/worker-1"
    urllib.request.urlopen(urllib.request.Request(url, method="PUT")).close()
    assert row(stack, "worker-1").health == "unregistered"
    os.kill(pid(stack, "worker.py"), signal.SIGKILL)
    eventually_sync(lambda: row(stack, "worker-1").healthy)
