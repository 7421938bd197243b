"""`connect` gives a channel to a service of the mesh by its name."""

import json
import os
from collections.abc import Callable

import grpc

from mesh.client.bootstrap import xds_bootstrap
from mesh.client.outgoing import client_interceptors
from mesh.settings import MeshSettings
from mesh.transport import channel_options


def connect(name: str, *, token: Callable[[], str | None] | None = None) -> grpc.aio.Channel:
    """A channel to the service registered as `name`, round robin over its healthy instances.

    `token` gives the access token to send; without it the token of the call being served is carried on. Each call
    has a deadline: its own, or its contract's. The channel belongs to the running event loop; use `async with`.
    """
    # gRPC reads it once, when the first xds channel of the process is made.
    os.environ.setdefault("GRPC_XDS_BOOTSTRAP_CONFIG", json.dumps(xds_bootstrap(MeshSettings.from_environment())))
    return grpc.aio.insecure_channel(
        f"xds:///{name}", options=channel_options(), interceptors=client_interceptors(token)
    )
