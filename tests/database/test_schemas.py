"""The schemas of all services: what migrations make is what the programs take for granted."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, Table, inspect
from sqlalchemy.ext.asyncio import create_async_engine

from services import database
from services.database import DatabaseSettings
from services.database.migrations import configuration, heads

ROOT = Path(__file__).parents[2]
SERVICES = sorted(path.parents[1].name for path in ROOT.glob("services/*/store/tables.py"))


@pytest.fixture(params=SERVICES)
def tables(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(f"services.{request.param}.store.tables")


async def migrated(settings: DatabaseSettings, tables: ModuleType) -> None:
    async with database.connected(settings, schema=tables.SCHEMA, migrations=tables.MIGRATIONS):
        pass


def test_services_with_a_store_are_found() -> None:
    assert {"auth", "sales"} <= set(SERVICES)


def test_revisions_are_one_line(tables: ModuleType) -> None:
    assert len(heads(tables.SCHEMA, tables.MIGRATIONS)) == 1


async def test_migrations_make_the_tables_of_the_model(settings: DatabaseSettings, tables: ModuleType) -> None:
    await migrated(settings, tables)
    engine = create_async_engine(settings.url)
    async with engine.connect() as connection:
        differences = await connection.run_sync(columns_that_differ, tables.metadata)
        keys = await connection.run_sync(primary_keys, tables.metadata)
    await engine.dispose()
    assert differences == []
    for table in tables.metadata.tables.values():
        assert keys[table.name] == {column.name for column in table.primary_key}


def columns_that_differ(connection: Connection, metadata: MetaData) -> list[Any]:
    """Missing and superfluous tables and columns, other types, other nullability.

    Indexes and the like are the database's own affair: no program names them.
    """
    assert metadata.schema is not None

    def ours(name: str | None, kind: str, _: Any) -> bool:
        return (name == metadata.schema) if kind == "schema" else name != "schema_revision"

    options = {"include_schemas": True, "include_name": ours, "compare_type": True}
    found = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    each = [change for entry in found for change in (entry if isinstance(entry, list) else [entry])]
    return [change for change in each if change[0].endswith(("_table", "_column", "_type", "_nullable"))]


def primary_keys(connection: Connection, metadata: MetaData) -> dict[str, set[str]]:
    inspector = inspect(connection)

    def key(table: Table) -> set[str]:
        return set(inspector.get_pk_constraint(table.name, metadata.schema)["constrained_columns"])

    return {table.name: key(table) for table in metadata.tables.values()}


async def test_migrations_can_be_taken_back(settings: DatabaseSettings, tables: ModuleType) -> None:
    await migrated(settings, tables)

    def take_back(connection: Connection) -> list[str]:
        config = configuration(tables.SCHEMA, tables.MIGRATIONS)
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        return inspect(connection).get_table_names(tables.SCHEMA)

    engine = create_async_engine(settings.url)
    async with engine.begin() as connection:
        assert await connection.run_sync(take_back) == ["schema_revision"]
    await engine.dispose()
    await migrated(settings, tables)
