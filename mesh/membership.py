"""What a process that serves knows of the mesh, each kept up to date while it serves."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from mesh.background import background
from mesh.identity import Identity, held
from mesh.intentions import Intentions
from mesh.interceptors import Interceptor, server_chain
from mesh.interceptors.peer import Peer
from mesh.live.follow import follow
from mesh.live.settings import Live
from mesh.registry import Registry
from mesh.telemetry import apply_log_level
from mesh.token_keys import TokenKeys


@dataclass(frozen=True)
class Membership:
    """One service in the mesh: who it is, who may call it, whose tokens it believes, and what its operator set."""

    identity: Identity
    intentions: Intentions
    keys: TokenKeys
    live: Live
    registry: Registry

    @property
    def service(self) -> str:
        return self.identity.spiffe_id.service

    def interceptors(self) -> list[Interceptor]:
        """The chain for its server."""
        return server_chain(self.keys, self.live, Peer(self.identity, self.intentions))


@contextlib.asynccontextmanager
async def joined(service: str) -> AsyncIterator[Membership]:
    """Membership of the mesh as `service`. Raises RegistryError if Consul cannot be reached at the start."""
    intentions, keys, live = Intentions(service), TokenKeys(), Live()
    live.on_change.append(apply_log_level)
    async with held(service) as identity, Registry.from_environment() as registry:
        await intentions.load(registry)
        async with (
            background(intentions.follow(registry), "intentions"),
            background(keys.follow(registry), "token-keys"),
            background(follow(live, registry, service), "live"),
        ):
            yield Membership(identity, intentions, keys, live, registry)
