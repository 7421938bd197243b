"""Instances in processes of their own, and callers of them here."""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
from retail.sales.v1 import sales_service_pb2 as sales

from bench.certificates import DNS_NAME, Authority
from bench.instance import CALLER, HOST, KEYS, SERVICE
from mesh.identity.holder import Certificate
from mesh.testing import Issuer

AT_A_TIME = 16
"""Calls under way at any time."""
SECONDS = 5.0
"""The deadline of a call: what its contract says."""
REQUEST = sales.GetSaleRequest(sale_id=str(uuid.uuid4()))


class Instance:
    """A process of `bench.instance`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.port = int(self._line())

    def cpu(self) -> float:
        """Seconds that it has used."""
        print(file=self._process.stdin, flush=True)
        return float(self._line())

    def _line(self) -> str:
        return next(self._process.stdout or iter(()))


class Measured:
    """What instances and callers have to know of each other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        authority, issuer = Authority(), Issuer()
        authority.write(SERVICE, folder / SERVICE)
        self.caller: Certificate = authority.write(CALLER, folder / CALLER)
        (folder / KEYS).write_text(issuer.published().to_json())
        self.token = issuer.token(permissions=["sales.read"])

    @contextlib.contextmanager
    def instance(self, kind: str, loop: str = "uvloop") -> Iterator[Instance]:
        command = [sys.executable, "-m", "bench.instance", kind, str(self.folder), loop]
        environment = os.environ | {"MESH_RUN_DIR": str(self.folder), "MESH_LOG_LEVEL": "WARNING"}
        root = Path(__file__).parent.parent
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=root
        ) as process:
            try:
                yield Instance(process)
            finally:
                process.kill()

    @property
    def credentials(self) -> grpc.ChannelCredentials:
        leaf = self.caller.leaf
        return grpc.ssl_channel_credentials(
            self.caller.roots.pem.encode(), leaf.key_pem.encode(), leaf.chain_pem.encode()
        )

    def channel(self, *ports: int, options: Sequence[tuple[str, Any]] = ()) -> grpc.aio.Channel:
        """A plain channel to these ports, by turns, with mutual TLS."""
        target = f"ipv4:{','.join(f'{HOST}:{port}' for port in ports)}"
        config = '{"loadBalancingConfig": [{"round_robin": {}}]}'
        named = [("grpc.ssl_target_name_override", DNS_NAME), ("grpc.service_config", config), *options]
        return grpc.aio.secure_channel(target, self.credentials, options=named)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token}"),)


@contextlib.contextmanager
def measured() -> Iterator[Measured]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield Measured(Path(folder))


async def load(call: Callable[[], Awaitable[Any]], calls: int) -> None:
    """Makes so many calls, AT_A_TIME of them at any time."""

    async def one_after_the_other(number: int) -> None:
        for _ in range(number):
            await call()

    await asyncio.gather(*(one_after_the_other(calls // AT_A_TIME) for _ in range(AT_A_TIME)))
