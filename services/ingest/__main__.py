import os

import mesh
from services.ingest.bootstrap import bootstrap
from services.ingest.rpc import MESSAGE_BYTES
from services.ingest.settings import Settings


async def main() -> None:
    async with bootstrap(Settings.from_environment(os.environ)) as rpc:
        await mesh.serve(rpc, message_bytes=MESSAGE_BYTES)


if __name__ == "__main__":
    mesh.run(main())
