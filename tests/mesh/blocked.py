"""A process whose event loop does nothing but wait in one place, as a handler may have it."""

import json
import time

import mesh
from mesh.serving import on_signal


async def main() -> None:
    on_signal()
    print(json.dumps({"message": "blocked"}), flush=True)
    time.sleep(60)  # noqa: ASYNC251 - what this is about


if __name__ == "__main__":
    mesh.run(main())
