"""Follows Consul and keeps one snapshot of what it says."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from mesh.registry import Instance, Registry
from mesh.telemetry import logger
from mesh.token_keys import KEY, Published

_SETTLE_SECONDS = 0.01
"""Changes that come together are published together."""

log = logger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """What Consul knows, at one moment."""

    services: dict[str, tuple[Instance, ...]] = field(default_factory=dict)
    """The healthy instances of every service that is or was registered."""
    token_keys: Published | None = None


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
        self._keys_known = False
        self._unknown: set[str] | None = None  # listed services whose instances have not been read yet
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Follows for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_catalog(tasks), name="watch-catalog")
            tasks.create_task(self._follow_keys(), name="watch-token-keys")
            tasks.create_task(self._publish_changes(), name="publish")

    async def _follow_catalog(self, tasks: asyncio.TaskGroup) -> None:
        followed: set[str] = set()
        async for listed in self._registry.watch_services():
            # A service that leaves the catalog stays followed: its callers shall see that it has no instance.
            new = (listed | self._expected) - followed
            self._unknown = (self._unknown or set()) | new
            for name in sorted(new):
                tasks.create_task(self._follow_service(name), name=f"watch-{name}")
            followed |= new
            self._changed.set()

    async def _follow_service(self, name: str) -> None:
        async for instances in self._registry.watch_healthy(name):
            self._services[name] = instances
            if self._unknown:
                self._unknown.discard(name)
            log.info("instances", of=name, instances=[f"{i.id}@{i.host}:{i.port}" for i in instances])
            self._changed.set()

    async def _follow_keys(self) -> None:
        async for value in self._registry.watch_key(KEY):
            self._keys_known = True
            if value is not None:
                try:
                    self._token_keys = Published.from_json(value)
                except (ValueError, KeyError, TypeError) as problem:
                    log.error("token keys refused, the old ones stay", problem=str(problem))
            self._changed.set()

    async def _publish_changes(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(_SETTLE_SECONDS)
            self._changed.clear()
            if self._keys_known and self._unknown is not None and not self._unknown:
                self._publish(Snapshot(dict(self._services), self._token_keys))
