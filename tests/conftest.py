"""The real parts, each started once for the whole run, by the code that `make up` uses."""

import signal
from collections.abc import Iterator

import pytest

from mesh.local import Stack, running

# A shell has what it starts in the background ignore SIGINT, and so would all that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    with running(["postgres"]) as stack:
        yield stack.environment["DATABASE_URL"]


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with running(["valkey"]) as stack:
        yield stack.environment["REDIS_URL"]


@pytest.fixture(scope="session")
def consul_address() -> Iterator[str]:
    with running(["consul"]) as stack:
        yield stack.environment["CONSUL_HTTP_ADDR"]


@pytest.fixture(scope="session")
def spark_remote() -> Iterator[str]:
    with running(["spark"]) as stack:
        yield stack.environment["SPARK_REMOTE"]


@pytest.fixture(scope="session")
def platform() -> Iterator[Stack]:
    """All that mesh.toml declares, with three instances of sales."""
    with running(None, None, replicas={"sales": 3}) as stack:
        yield stack
