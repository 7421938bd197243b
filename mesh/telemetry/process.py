"""All that one process tells of itself."""

import contextlib
from collections.abc import AsyncIterator

from mesh.telemetry.logs import configure_logging
from mesh.telemetry.metrics import META, metrics_port
from mesh.telemetry.tracing import tracing


@contextlib.asynccontextmanager
async def observed(service: str, instance: str, host: str) -> AsyncIterator[dict[str, str]]:
    """Logs, metrics and traces of this process until the block ends. Yields what Consul is to say of it."""
    configure_logging(service, instance)
    async with tracing(service, instance), metrics_port(host) as port:
        yield {META: str(port)}
