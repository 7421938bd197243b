"""A database of its own for each test, and the auth service over it."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from mesh.registry import Registry
from services.auth.settings import Settings
from tests.auth.serving import ADMIN_PASSWORD, Connection
from tests.databases import own_database


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[str]:
    """Address of an empty database."""
    async with own_database(database_url) as own:
        yield own


@pytest.fixture
def environment(database: str, consul_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What a process of auth is started with; Consul's address is in this process's environment too."""
    monkeypatch.setenv("CONSUL_HTTP_ADDR", consul_address)
    password = tmp_path / "admin-password"
    password.write_text(ADMIN_PASSWORD + "\n")
    return {
        "CONSUL_HTTP_ADDR": consul_address,
        "DATABASE_URL": database,
        "DATABASE_POOL_SIZE": "4",
        "AUTH_BCRYPT_COST": "4",
        "ADMIN_PASSWORD_FILE": str(password),
    }


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    return Settings.from_environment(environment)


@pytest.fixture
async def registry(consul_address: str) -> AsyncIterator[Registry]:
    async with Registry(consul_address if "://" in consul_address else f"http://{consul_address}") as registry:
        yield registry


@pytest.fixture
async def connection(database: str) -> AsyncIterator[Connection]:
    """Of an operator who looks into the database."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()
