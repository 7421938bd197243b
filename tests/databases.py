"""Databases of the tests' PostgreSQL, and a server of one's own to stop and to start."""

import contextlib
import signal
import uuid
from collections.abc import AsyncIterator

import asyncpg
import psutil

from mesh.local import Stack
from mesh.local.supervisor import Supervisor
from tests.eventually import eventually


@contextlib.asynccontextmanager
async def own_database(server_url: str) -> AsyncIterator[str]:
    """The address of an empty database that is there as long as the block."""
    name = f"test_{uuid.uuid4().hex}"
    server = await asyncpg.connect(server_url)
    await server.execute(f"CREATE DATABASE {name}")
    try:
        yield server_url.rpartition("/")[0] + f"/{name}"
    finally:
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.close()


class Postgres:
    """The server of a stack that nobody else uses."""

    def __init__(self, stack: Stack) -> None:
        self._supervisor = Supervisor(stack.run)
        self.url = stack.environment["DATABASE_URL"]

    def stop(self) -> None:
        self._supervisor.stop(["postgres"])

    def start(self) -> None:
        self._supervisor.start("postgres")

    def freeze(self, frozen: bool) -> None:
        """Its processes keep their connections and do nothing."""
        postmaster = psutil.Process(self._supervisor.state("postgres").pid)
        for process in [postmaster, *postmaster.children(recursive=True)]:
            process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    async def ready(self) -> None:
        async def connects() -> bool:
            await (await asyncpg.connect(self.url)).close()
            return True

        await eventually(connects, timeout=20)
