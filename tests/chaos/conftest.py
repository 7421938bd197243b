"""The chaos suite: short with `make test`, long with `make chaos` (CHAOS=long)."""

import os
from collections.abc import Iterator

import pytest

from mesh.local import running
from mesh.local.ports import claimed
from tests.chaos.cluster import Cluster

LONG = os.environ.get("CHAOS") == "long"


def seconds(short: float, long: float) -> float:
    """How long something stays broken."""
    return long if LONG else short


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Consul alone; what is to be broken is started by each test."""
    with running(["consul"]) as stack, claimed({"one": 0, "two": 0}) as ports:
        servers = tuple(f"127.0.0.1:{port}" for port in ports.values())
        yield Cluster(stack, servers, tmp_path_factory.mktemp("chaos"))
