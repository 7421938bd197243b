"""Which workload calls, and whether an intention lets it."""

import asyncio
from collections.abc import Awaitable
from functools import lru_cache
from typing import Any

import mesh
from mesh import callers
from mesh.identity import Identity, SpiffeId
from mesh.intentions import Intentions
from mesh.interceptors.chain import Context, Handler, Rpc
from mesh.telemetry import logger
from mesh.v1.error_reason_pb2 import ErrorReason

error = mesh.errors(ErrorReason)
log = logger(__name__)
_TRAIL_SECONDS = 1.0
_NAMES = "x509_subject_alternative_name"


class Peer:
    """Refuses a workload that no intention allows; the allowed one is known as `callers.peer`."""

    def __init__(self, identity: Identity, intentions: Intentions) -> None:
        self._domains = identity.trust_domains
        self._intentions = intentions

    def wrap(self, rpc: Rpc, proceed: Handler) -> Handler:
        path, intentions, domains = rpc.path, self._intentions, self._domains
        trail = _Trail(path)

        def handle(request: Any, context: Context) -> Awaitable[Any]:
            workload = _workload(tuple(context.peer_identities() or ()))
            if workload is not None and context.peer_identity_key() != _NAMES:
                workload = None  # of a certificate without such names gRPC takes others
            if workload is None or workload.trust_domain not in domains:
                trail.tell("audit: unknown workload refused", "", context.peer())
                raise error(ErrorReason.ERROR_REASON_PEER_UNKNOWN)
            if not intentions.allows(workload.service, path):
                trail.tell("audit: workload refused", str(workload), context.peer())
                raise error(ErrorReason.ERROR_REASON_PEER_NOT_ALLOWED, source=workload.service, method=path)
            callers.peer.set(workload.service)
            return proceed(request, context)

        return handle


class _Trail:
    """Audit lines of the refusals of one method: a caller that goes on and on gets two a second, with the number."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._more: dict[str, int] = {}

    def tell(self, event: str, source: str, peer: str) -> None:
        if source in self._more:
            self._more[source] += 1
            return
        self._more[source] = 0
        line = {"method": self._method, "source": source, "peer": peer}
        log.warning(event, **line)
        asyncio.get_running_loop().call_later(_TRAIL_SECONDS, self._tell_more, event, line)

    def _tell_more(self, event: str, line: dict[str, str]) -> None:
        if more := self._more.pop(line["source"]):
            log.warning(event, **line, more=more)


@lru_cache(maxsize=1024)
def _workload(names: tuple[bytes, ...]) -> SpiffeId | None:
    """The one SPIFFE ID among a certificate's names; a certificate with several is no SVID (SPIFFE X.509-SVID 2)."""
    try:
        uris = [name.decode() for name in names if name.startswith(b"spiffe://")]
        return SpiffeId.parse(uris[0]) if len(uris) == 1 else None
    except ValueError:
        return None
