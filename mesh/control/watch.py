"""Follows Consul and keeps one snapshot of what it says."""

import asyncio
import ipaddress
from collections.abc import Callable, Iterable
from typing import Any

from mesh.control.snapshot import Snapshot, Trust
from mesh.control.splits import Splits
from mesh.live.split import RESOLVER, SPLITTER
from mesh.registry import Instance, Registry, RegistryError
from mesh.telemetry import logger
from mesh.token_keys import KEY, Published

_SETTLE_SECONDS = 0.01
"""Changes that come together are published together."""

log = logger(__name__)


class Watch:
    """Publishes a snapshot when all is known for the first time and after each change.

    Until then nothing is published: half a snapshot would take endpoints away from whoever has them.
    """

    def __init__(self, registry: Registry, services: Iterable[str], publish: Callable[[Snapshot], None]) -> None:
        self._registry = registry
        self._expected = frozenset(services)
        self._publish = publish
        self._services: dict[str, tuple[Instance, ...]] = {}
        self._token_keys: Published | None = None
        self._trust: Trust | None = None
        self._entries: dict[str, list[dict[str, Any]]] = {}
        self._splits = Splits()
        self._unknown = {"services", "token keys", "trust", RESOLVER, SPLITTER}
        """What has not been read yet: of each kind of thing, and of each listed service."""
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Follows for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_catalog(tasks), name="watch-catalog")
            tasks.create_task(self._follow_keys(), name="watch-token-keys")
            tasks.create_task(self._follow_trust(), name="watch-trust")
            for kind in (RESOLVER, SPLITTER):
                tasks.create_task(self._follow_entries(kind), name=f"watch-{kind}")
            tasks.create_task(self._publish_changes(), name="publish")

    def _known(self, what: str) -> None:
        self._unknown.discard(what)
        self._changed.set()

    async def _follow_catalog(self, tasks: asyncio.TaskGroup) -> None:
        followed: set[str] = set()
        async for listed in self._registry.watch_services():
            # A service that leaves the catalog stays followed: its callers shall see that it has no instance.
            for name in sorted((listed | self._expected) - followed):
                self._unknown.add(f"service {name}")
                tasks.create_task(self._follow_service(name), name=f"watch-{name}")
                followed.add(name)
            self._known("services")

    async def _follow_service(self, name: str) -> None:
        async for instances in self._registry.watch_healthy(name):
            self._services[name] = reachable(instances)
            log.info("instances", of=name, instances=[f"{i.id}@{i.host}:{i.port}" for i in self._services[name]])
            self._known(f"service {name}")

    async def _follow_keys(self) -> None:
        async for value in self._registry.watch_key(KEY):
            if value is not None:
                try:
                    self._token_keys = Published.from_json(value)
                except (ValueError, KeyError, TypeError) as problem:
                    log.error("token keys refused, the old ones stay", problem=str(problem))
            self._known("token keys")

    async def _follow_trust(self) -> None:
        async for roots in self._registry.watch_roots():
            self._trust = Trust(roots.trust_domain, await self._datacenter())
            self._known("trust")

    async def _datacenter(self) -> str:
        """It never changes; Consul may go away between two answers."""
        if self._trust is not None:
            return self._trust.datacenter
        while True:
            try:
                return await self._registry.datacenter()
            except RegistryError:
                await asyncio.sleep(1)

    async def _follow_entries(self, kind: str) -> None:
        async for entries in self._registry.watch_config(kind):
            self._entries[kind] = entries
            if self._entries.keys() >= {RESOLVER, SPLITTER}:
                self._splits.take(self._entries[RESOLVER], self._entries[SPLITTER])
            self._known(kind)

    async def _publish_changes(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(_SETTLE_SECONDS)
            self._changed.clear()
            if not self._unknown:
                self._publish(
                    Snapshot(
                        dict(self._services), self._token_keys, self._trust, self._splits.subsets, self._splits.shares
                    )
                )


def reachable(instances: Iterable[Instance]) -> tuple[Instance, ...]:
    """Those that callers can be told of: gRPC refuses all of a service if one has no IP address, or has another's.

    Of several at one address the latest is there: Consul's checks find it there and take the gone ones for well.
    """
    found: dict[tuple[str, int], Instance] = {}
    for each in sorted(instances, key=lambda instance: dict(instance.meta).get("started", "")):
        try:
            ipaddress.ip_address(each.host)
        except ValueError:
            log.error("an instance is left out, its address is none", instance=each.id, address=each.host)
            continue
        if (other := found.get((each.host, each.port))) is not None:
            log.error("an instance is left out, another has its address", instance=other.id, another=each.id)
        found[each.host, each.port] = each
    return tuple(sorted(found.values()))
