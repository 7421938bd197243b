"""The server that the hostile peers meet without a proxy."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.eventually import eventually_sync
from tests.hostile.target import Target
from tests.programs import Program, program


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    output: Path = tmp_path_factory.mktemp("hostile") / "log"
    with program("tests.hostile.server", environment={}, output=output) as running:
        eventually_sync(lambda: running.said("serving"), 20)
        yield running


@pytest.fixture(scope="module")
def target(server: Program) -> Target:
    return target_of(server)


def target_of(server: Program) -> Target:
    [told] = server.said("serving")
    return Target(str(told["address"]), str(told["token"]), (server.process.pid,))
