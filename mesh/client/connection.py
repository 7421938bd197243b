"""`connect` gives a channel to a service of the mesh by its name."""

import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable

import grpc

from mesh.background import background
from mesh.client.bootstrap import xds_bootstrap
from mesh.client.channel import MeshChannel
from mesh.client.destination import destination
from mesh.identity import held
from mesh.identity.credentials import channel_credentials
from mesh.live.follow import follow
from mesh.live.settings import Live
from mesh.registry import Registry
from mesh.settings import MeshSettings, SettingsError
from mesh.shared import Shared
from mesh.transport import channel_options


@contextlib.asynccontextmanager
async def connect(
    name: str, *, token: Callable[[], str | None] | None = None, service: str | None = None
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the service registered as `name`, balanced over its healthy instances, with mutual TLS.

        async with mesh.connect("greeter") as channel:
            await GreeterServiceStub(channel).Greet(...)

    `token` gives the access token to send; without it the token of the call being served is carried on. `service` is
    as whom this process calls, by default what MESH_SERVICE says. Deadline, retries and breaker are as the method's
    contract and the destination's live settings say. The channel belongs to the running event loop.

    Raises SettingsError if nothing says as whom to call, RegistryError if Consul cannot be reached at the start.
    """
    settings = MeshSettings.from_environment()
    caller = service or settings.service
    if not caller:
        raise SettingsError("MESH_SERVICE is not set: it is the name of the service as which this process calls others")
    async with held(caller) as identity, _live.used(name) as live:
        # gRPC reads it once, when the first xds channel of the process is made.
        os.environ.setdefault("GRPC_XDS_BOOTSTRAP_CONFIG", json.dumps(xds_bootstrap(settings, identity)))
        inner = grpc.aio.secure_channel(f"xds:///{name}", channel_credentials(), options=channel_options())
        async with MeshChannel(inner, name, token=token, live=live) as channel:
            yield channel


@contextlib.asynccontextmanager
async def _followed(name: str) -> AsyncIterator[Live]:
    """What the destination's operator says of retries and breaker, for all channels to it, of all event loops."""
    live = destination(name).live
    async with (
        Registry.from_environment() as registry,
        background(follow(live, registry, name), f"live-{name}"),
    ):
        yield live


_live = Shared(_followed)
