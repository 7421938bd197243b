import os

import mesh
from services.auth.bootstrap import bootstrap
from services.auth.settings import Settings


async def main() -> None:
    async with bootstrap(Settings.from_environment(os.environ)) as rpc:
        await mesh.serve(rpc)


if __name__ == "__main__":
    mesh.run(main())
