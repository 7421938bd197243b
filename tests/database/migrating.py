"""A process that brings a schema up to date and says so: `python -m tests.database.migrating SCHEMA VERSIONS`."""

import asyncio
import os
import sys
from pathlib import Path

from services import database
from services.database import DatabaseSettings


async def main(schema: str, versions: Path) -> None:
    settings = DatabaseSettings.from_environment(os.environ)
    async with database.connected(settings, schema=schema, migrations=versions) as connected:
        await connected.check()
    sys.stdout.write("migrated")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
