"""The port at which a process tells its figures to Prometheus and to `meshctl top`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from prometheus_client import start_http_server

META = "metrics_port"
"""Where Consul's entry of an instance holds the port."""


@contextlib.asynccontextmanager
async def metrics_port(host: str) -> AsyncIterator[int]:
    """A free port of `host` that answers `GET /metrics`, off the event loop, until the block ends."""
    server, thread = start_http_server(0, host)
    try:
        yield server.server_port
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        await asyncio.to_thread(thread.join)
