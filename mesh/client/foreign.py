"""What a program of another team, in any language whose gRPC knows xDS, needs to call services: two files' worth.

`bootstrap.json` says where the control planes are (gRFC A27) and where the certificate is (A29), which lies beside it.
"""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.client.bootstrap import xds_bootstrap
from mesh.identity import Identity, kept
from mesh.registry import Registry
from mesh.settings import MeshSettings

BOOTSTRAP = "bootstrap.json"


@dataclass(frozen=True)
class Kit:
    """The files are there, and the certificate in them is renewed for as long as the kit is provided."""

    bootstrap: Path
    identity: Identity


@contextlib.asynccontextmanager
async def provided(registry: Registry, settings: MeshSettings, service: str, folder: Path) -> AsyncIterator[Kit]:
    """Lets the owner of `folder`, an absolute path, call as `service`. Raises RegistryError, OSError."""
    async with kept(registry, service, folder / "identity") as identity:
        (identity.directory / ".gitignore").write_text("*\n")  # keys are for no repository
        path = folder / BOOTSTRAP
        path.write_text(json.dumps(_bootstrap(settings, identity), indent=2) + "\n")
        yield Kit(path, identity)


def _bootstrap(settings: MeshSettings, identity: Identity) -> dict[str, Any]:
    """Control planes as a list: only gRPC in C takes several addresses as one server."""
    servers = [
        {"server_uri": server, "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}
        for server in settings.xds_servers
    ]
    return xds_bootstrap(settings, identity) | {"xds_servers": servers}
