"""Which workload calls, and whether an intention lets it."""

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
_NAMES = "x509_subject_alternative_name"


class Peer:
    """Refuses a workload that no intention allows; the allowed one is known as `callers.peer`."""

    def __init__(self, identity: Identity, intentions: Intentions) -> None:
        self._domains = identity.trust_domains
        self._intentions = intentions

    def wrap(self, rpc: Rpc, proceed: Handler) -> Handler:
        path, intentions, domains = rpc.path, self._intentions, self._domains

        def handle(request: Any, context: Context) -> Awaitable[Any]:
            workload = _workload(tuple(context.peer_identities() or ()))
            if workload is not None and context.peer_identity_key() != _NAMES:
                workload = None  # of a certificate without such names gRPC takes others
            if workload is None or workload.trust_domain not in domains:
                log.warning("audit: unknown workload refused", method=path, peer=context.peer())
                raise error(ErrorReason.ERROR_REASON_PEER_UNKNOWN)
            if not intentions.allows(workload.service, path):
                log.warning("audit: workload refused", source=str(workload), method=path, peer=context.peer())
                raise error(ErrorReason.ERROR_REASON_PEER_NOT_ALLOWED, source=workload.service, method=path)
            callers.peer.set(workload.service)
            return proceed(request, context)

        return handle


@lru_cache(maxsize=1024)
def _workload(names: tuple[bytes, ...]) -> SpiffeId | None:
    """The one SPIFFE ID among a certificate's names; a certificate with several is no SVID (SPIFFE X.509-SVID 2)."""
    try:
        uris = [name.decode() for name in names if name.startswith(b"spiffe://")]
        return SpiffeId.parse(uris[0]) if len(uris) == 1 else None
    except ValueError:
        return None
