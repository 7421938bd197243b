"""Schemas that are brought up to date when services start."""

import asyncio
import os
import sys
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text

from services import database
from services.database import DatabaseSettings, MigrationError, StoreUnavailableError
from services.database.migrations import heads

ROOT = Path(__file__).parents[2]

_REVISION = '''
from alembic import op

revision = "{revision}"
down_revision = {before!r}


def upgrade() -> None:
    op.execute("""{statement}""")
'''


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    """Two revisions; the second takes a while and counts in a table how often it is applied."""
    add_revision(tmp_path, "0001", None, "CREATE TABLE shop.applied (revision text)")
    add_revision(tmp_path, "0002", "0001", "INSERT INTO shop.applied SELECT '0002' FROM pg_sleep(0.2)")
    return tmp_path


def add_revision(folder: Path, revision: str, before: str | None, statement: str) -> None:
    content = _REVISION.format(revision=revision, before=before, statement=statement)
    (folder / f"{revision}_shop.py").write_text(content)


async def migrate(settings: DatabaseSettings, versions: Path) -> None:
    async with database.connected(settings, schema="shop", migrations=versions):
        pass


async def fetch(settings: DatabaseSettings, sql: str) -> list[str]:
    """The first column."""
    async with database.connected(settings, schema="shop") as connected, connected.reading() as connection:
        return list((await connection.execute(text(sql))).scalars())


async def applied(settings: DatabaseSettings) -> list[str]:
    return await fetch(settings, "SELECT revision FROM shop.applied")


async def revisions(settings: DatabaseSettings) -> list[str]:
    return await fetch(settings, "SELECT version_num FROM shop.schema_revision")


async def test_many_that_start_at_once_migrate_once(settings: DatabaseSettings, versions: Path) -> None:
    await asyncio.gather(*(migrate(settings, versions) for _ in range(12)))
    assert await applied(settings) == ["0002"]
    assert await revisions(settings) == ["0002"]


async def test_processes_that_start_at_once_migrate_once(settings: DatabaseSettings, versions: Path) -> None:
    url = settings.url.set(drivername="postgresql").render_as_string(hide_password=False)
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.database.migrating", "shop", str(versions),
            cwd=ROOT, env=os.environ | {"DATABASE_URL": url}, stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(3)
    ]  # fmt: skip
    ends = await asyncio.gather(*(process.communicate() for process in processes))
    assert [output for output, _ in ends] == [b"migrated"] * 3
    assert await applied(settings) == ["0002"]


async def test_what_is_missing_is_added(settings: DatabaseSettings, versions: Path) -> None:
    await migrate(settings, versions)
    add_revision(versions, "0003", "0002", "INSERT INTO shop.applied VALUES ('0003')")
    for _ in range(2):
        await migrate(settings, versions)
        assert await applied(settings) == ["0002", "0003"]


async def test_a_migration_that_fails_leaves_nothing(settings: DatabaseSettings, versions: Path) -> None:
    add_revision(versions, "0003", "0002", "SELECT 1 / 0")
    with pytest.raises(Exception, match="division by zero"):
        await migrate(settings, versions)
    assert await fetch(settings, "SELECT nspname FROM pg_namespace WHERE nspname = 'shop'") == []
    add_revision(versions, "0003", "0002", "INSERT INTO shop.applied VALUES ('0003')")
    await migrate(settings, versions)
    assert await applied(settings) == ["0002", "0003"]


async def test_a_newer_schema_is_left_alone(settings: DatabaseSettings, versions: Path) -> None:
    add_revision(versions, "0003", "0002", "INSERT INTO shop.applied VALUES ('0003')")
    await migrate(settings, versions)
    (versions / "0003_shop.py").unlink()
    with pytest.raises(MigrationError, match=r"schema shop: .*0003"):
        await migrate(settings, versions)
    assert await revisions(settings) == ["0003"]
    assert await applied(settings) == ["0002", "0003"]


async def test_two_newest_revisions_are_refused(settings: DatabaseSettings, versions: Path) -> None:
    add_revision(versions, "0002b", "0001", "SELECT 1")
    assert sorted(heads("shop", versions)) == ["0002", "0002b"]
    with pytest.raises(MigrationError, match="heads"):
        await migrate(settings, versions)


async def test_one_that_dies_while_it_migrates_holds_up_nobody(
    settings: DatabaseSettings, versions: Path, database_url: str
) -> None:
    add_revision(versions, "0003", "0002", "SELECT pg_sleep(60)")
    dying = asyncio.create_task(migrate(settings, versions))
    server = await asyncpg.connect(database_url)
    asleep = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND query LIKE '%pg_sleep(60)%'"
    while not await server.fetch(asleep, settings.url.database):
        await asyncio.wait([dying], timeout=0.02)
    with pytest.raises(StoreUnavailableError):
        await dying
    await server.close()
    (versions / "0003_shop.py").unlink()
    await migrate(settings, versions)
    assert await applied(settings) == ["0002"]


async def test_a_database_that_is_away_is_unavailable(versions: Path, unused_tcp_port: int) -> None:
    away = DatabaseSettings.from_environment(
        {"DATABASE_URL": f"postgresql://shop:secret@127.0.0.1:{unused_tcp_port}/x"}
    )
    with pytest.raises(StoreUnavailableError) as refused:
        await migrate(away, versions)
    assert "secret" not in str(refused.value)
