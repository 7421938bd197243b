"""What happens to a call before and after its handler: one file a concern, and their one order, here.

An interceptor is bound once to each method: `wrap(method, proceed)` returns the handler that runs in place of
`proceed`, or `proceed` itself where the method's contract gives it nothing to do. So a concern that does not apply
costs nothing in a call.
"""

from mesh.interceptors.bulkhead import Bulkhead
from mesh.interceptors.chain import Handler, Interceptor, Rpc, intercepted
from mesh.interceptors.deadline import Deadline
from mesh.interceptors.errors import Errors
from mesh.interceptors.faults import Faults
from mesh.interceptors.incoming import Incoming
from mesh.interceptors.permission import Permission
from mesh.interceptors.telemetry import Telemetry
from mesh.interceptors.token import Token
from mesh.interceptors.validation import Validation
from mesh.live.settings import Live
from mesh.token_keys import TokenKeys

__all__ = ["Handler", "Incoming", "Interceptor", "Rpc", "intercepted", "server_chain"]


def server_chain(keys: TokenKeys, live: Live | None = None, peer: Interceptor | None = None) -> list[Interceptor]:
    """The interceptors of every server, the outermost first.

    `peer` asks which workload calls (mesh/interceptors/peer.py); a server without an identity has none.
    """
    live = live or Live()
    return [
        Telemetry(live),
        Errors(),
        Deadline(),
        *([peer] if peer else []),  # a workload that may not call has none of its messages read
        Incoming(),  # what comes before has no request to look at
        Bulkhead(live),
        Token(keys),
        Permission(),
        Validation(),
        Faults(live),
    ]
