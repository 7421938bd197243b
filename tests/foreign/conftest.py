"""A Go client, built once into the user's cache, and two instances of sales that it calls."""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mesh.local import Silent, Stack, running
from mesh.local.tools.cache import cache_folder, provided
from mesh.local.tools.go import PINNED, toolchain
from mesh.testing import Issuer
from tests.cli.conftest import ROOT, meshctl
from tests.gateway.conftest import publish

MODULE = Path(__file__).with_name("client")


@dataclass(frozen=True)
class Mesh:
    """A running mesh, and a program of another team that calls `sales` in it."""

    stack: Stack
    issuer: Issuer
    client: Path

    def meshctl(self, *arguments: str) -> str:
        """What a verb prints."""
        status, printed, said = meshctl(ROOT, *arguments, run_dir=self.stack.run.path)
        assert status == 0, said
        return printed

    def bootstrap(self, service: str, folder: Path, *options: str) -> Path:
        """The bootstrap of a client that calls as `service`."""
        printed = self.meshctl("bootstrap", "--service", service, "--out", str(folder), *options)
        return Path(printed.strip().removeprefix("GRPC_XDS_BOOTSTRAP="))

    def call(self, bootstrap: Path, method: str, *, request: str = "{}", calls: int = 1) -> list[dict[str, Any]]:
        """What became of calls that were made one after the other, with a token of all permissions."""
        token = self.issuer.token(permissions={"sales.read", "sales.write"})
        contracts = str(ROOT / "gen" / "contracts.binpb")
        done = subprocess.run(
            [self.client, "-contracts", contracts, "-calls", str(calls), "xds:///sales", method, request],
            env={**os.environ, "GRPC_XDS_BOOTSTRAP": str(bootstrap), "TOKEN": token},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="package")
def client() -> Path:
    """Its sources are the key: it is built anew when one of them changes."""
    sources = b"".join(path.read_bytes() for path in sorted(MODULE.iterdir()))
    cache = cache_folder()

    def build(folder: Path) -> None:
        with toolchain(folder, cache, Silent()) as go:
            command = [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(folder / "client"), "."]
            subprocess.run(command, cwd=MODULE, env={**os.environ, **PINNED}, check=True)

    return provided(cache / f"foreign-client-{hashlib.sha256(sources).hexdigest()[:16]}", build, Silent()) / "client"


@pytest.fixture(scope="package")
def mesh(client: Path) -> Iterator[Mesh]:
    with running(["consul", "postgres"], ["sales"], replicas={"sales": 2}) as stack:
        issuer = Issuer()
        publish(stack.environment, issuer)
        yield Mesh(stack, issuer, client)
