"""A proxyless gRPC service mesh: `serve` is the only way in, `connect` the only way out.

    async def main() -> None:
        await mesh.serve(GreeterRpc())          # in a service

    async with mesh.connect("greeter") as channel:
        greeter = GreeterServiceStub(channel)   # in a caller

What a method is, who may call it and how long it may take is read from its contract (mesh.contract).
"""

import importlib
from pkgutil import extend_path
from typing import TYPE_CHECKING, Any

# The generated `mesh.v1` (options and error reasons of the contract) is another distribution's part of this package.
__path__ = extend_path(__path__, __name__)

if TYPE_CHECKING:
    from mesh.callers import Caller, caller
    from mesh.client import connect
    from mesh.error import Error, errors
    from mesh.serving import run, serve
    from mesh.starting import StartError
    from mesh.telemetry import logger

_PUBLIC = {
    "Caller": "mesh.callers",
    "Error": "mesh.error",
    "StartError": "mesh.starting",
    "caller": "mesh.callers",
    "connect": "mesh.client",
    "errors": "mesh.error",
    "logger": "mesh.telemetry",
    "run": "mesh.serving",
    "serve": "mesh.serving",
}

__all__ = ["Caller", "Error", "StartError", "caller", "connect", "errors", "logger", "run", "serve"]


def __getattr__(name: str) -> Any:
    """Loads a public name when it is first used, so that `meshctl` does not pay for gRPC."""
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
