"""What happens to a call before and after its handler: one file a concern, and their one order, here.

An interceptor is bound once to each method: `wrap(method, proceed)` returns the handler that runs in place of
`proceed`, or `proceed` itself where the method's contract gives it nothing to do. So a concern that does not apply
costs nothing in a call.
"""

from mesh.interceptors.chain import Handler, Interceptor, Rpc, intercepted
from mesh.interceptors.deadline import Deadline
from mesh.interceptors.errors import Errors
from mesh.interceptors.permission import Permission
from mesh.interceptors.token import Token
from mesh.interceptors.validation import Validation
from mesh.token_keys import TokenKeys

__all__ = ["Handler", "Interceptor", "Rpc", "intercepted", "server_chain"]


def server_chain(keys: TokenKeys) -> list[Interceptor]:
    """The interceptors of every server, the outermost first."""
    return [Errors(), Deadline(), Token(keys), Permission(), Validation()]
