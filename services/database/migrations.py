"""Brings a schema up to date when a service starts, whoever else starts at the same moment."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.schema import CreateSchema

import mesh

_SHARED = Path(__file__).parent


class MigrationError(mesh.StartError):
    """The schema is at a revision that this program does not know: a newer program has been here."""


async def migrate(engine: AsyncEngine, schema: str, versions: Path) -> None:
    """Applies what is missing of the revisions in the folder `versions`, all or none of it.

    One process does it; those that start meanwhile wait and find it done. Raises MigrationError.
    """
    async with engine.begin() as connection:
        await connection.run_sync(_upgrade, schema, versions)


def _upgrade(connection: Connection, schema: str, versions: Path) -> None:
    # Held until the commit, and let go by the server if this process dies.
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"migrations of {schema}"}
    )
    connection.execute(CreateSchema(schema, if_not_exists=True))
    config = configuration(schema, versions)
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as failure:
        raise MigrationError(f"schema {schema}: {failure}") from failure


def configuration(schema: str, versions: Path) -> Config:
    """Alembic's configuration: the shared env.py and a service's own revisions."""
    config = Config()
    config.set_main_option("script_location", str(_SHARED))
    config.set_main_option("version_locations", str(versions))
    config.set_main_option("path_separator", "newline")
    config.attributes["schema"] = schema
    return config


def heads(schema: str, versions: Path) -> list[str]:
    """The newest revisions; more than one is a defect."""
    return list(ScriptDirectory.from_config(configuration(schema, versions)).get_heads())
