"""Which loopback ports a stack uses: the well-known ones if they are free, else others."""

import contextlib
import fcntl
import random
import socket
from collections.abc import Iterator, Mapping

from mesh.local.errors import LocalError
from mesh.local.rundir import private_folder

# Below the ranges from which Linux (32768) and macOS (49152) take ports for outgoing connections.
_OTHERS = range(20_000, 30_000)


@contextlib.contextmanager
def claimed(preferred: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """A port for each name, its preferred one where possible (0: any).

    Held against other stacks of this user until the block ends, by when the programs listen on them. Raises LocalError
    if no port is left.
    """
    with contextlib.ExitStack() as claims:
        yield {name: _claim(port, claims) for name, port in preferred.items()}


def _claim(port: int, claims: contextlib.ExitStack) -> int:
    others = random.sample(_OTHERS, 200)
    for candidate in ([port] if port else []) + others:
        file = claims.enter_context((private_folder() / f"port-{candidate}").open("w"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        if is_free(candidate):
            return candidate
        fcntl.flock(file, fcntl.LOCK_UN)
    raise LocalError(
        f"no free loopback port between {_OTHERS.start} and {_OTHERS.stop}: stop something that listens there"
    )


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now. One closed a moment ago (TIME_WAIT) counts as free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
