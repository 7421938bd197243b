"""Taking a part out of a running stack."""

import contextlib
from collections.abc import Iterator

from mesh.local import Stack
from mesh.local.supervisor import Supervisor
from tests.eventually import eventually_sync


@contextlib.contextmanager
def without(stack: Stack, name: str) -> Iterator[None]:
    """Stops a component or an instance; at the end it is back at its port, with its data, and all are healthy."""
    supervisor = Supervisor(stack.run)
    supervisor.stop([name])
    try:
        yield
    finally:
        supervisor.start(name)
        eventually_sync(lambda: all(row.healthy for row in stack.status()), 30)
