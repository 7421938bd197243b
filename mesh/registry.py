"""Consul as the mesh uses it: who is alive and where, and the KV that holds what may change while running.

Everything is followed with blocking queries, never polled. A watcher outlives Consul: while it is away nothing is
yielded, so that whoever follows keeps the last good state.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import consul
import consul.aio
from consul.callback import CB

from mesh.background import background
from mesh.settings import MeshSettings
from mesh.starting import StartError
from mesh.telemetry import logger

TAG = "mesh"
"""Carried by every service of the mesh; Consul's catalog may hold others."""
_WAIT = "55s"
_ROOTS = "/v1/agent/connect/ca/roots"
_FIRST_RETRY_SECONDS = 0.2
_LAST_RETRY_SECONDS = 5.0
_GOODBYE_SECONDS = 2.0
"""How long Consul may take to forget an instance that stops: calls under way have to end in time too."""
_BELIEVED_SECONDS = 2.0
"""A restarted agent takes every service for ill until its first check, which comes within a second."""
_REGISTERING_SECONDS = 10.0
"""How often an instance looks whether the agent still knows it."""
_TOLD_AGAIN_SECONDS = _REGISTERING_SECONDS + 2.0
"""How long it takes until a Consul that has lost its data knows again who is there. Nobody else does before that."""
_ANSWER_SECONDS = 65.0
"""Consul answers a blocking query within its wait and a sixteenth; one that takes longer has vanished."""
_CONNECTIONS = 10_000
"""Each thing that is followed holds one."""
_AWAY = (aiohttp.ClientError, consul.ConsulException, OSError, TimeoutError)

log = logger(__name__)
T = TypeVar("T")


class RegistryError(StartError):
    """Consul could not be reached or refused."""


@dataclass(frozen=True, order=True)
class Instance:
    """One running process of a service."""

    service: str
    id: str
    host: str
    port: int
    meta: tuple[tuple[str, str], ...] = field(default=(), compare=True)


@dataclass(frozen=True)
class Registration:
    """What an instance says of itself."""

    service: str
    id: str
    host: str
    port: int
    health_port: int
    meta: dict[str, str]
    health_host: str = ""
    """Where health checks are answered; empty: at `host`."""


@dataclass(frozen=True)
class Leaf:
    """A certificate for a service, signed by Consul's Connect CA."""

    chain_pem: str
    """The leaf first, then the intermediates that lead to a root."""
    key_pem: str = field(repr=False)
    spiffe_id: str


@dataclass(frozen=True)
class Roots:
    """Whom to believe: the CA's roots, the old one too while one is replaced."""

    trust_domain: str
    """`CLUSTER.consul`, without `spiffe://`."""
    pem: str


class Registry:
    """A client of one Consul agent; an async context manager."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = f"{parts.hostname}:{parts.port or 8500}"
        self._parts = parts

    @classmethod
    def from_environment(cls) -> "Registry":
        return cls(MeshSettings.from_environment().consul_url)

    async def __aenter__(self) -> "Registry":
        self._consul: Any = consul.aio.Consul(
            host=self._parts.hostname,
            port=self._parts.port or 8500,
            scheme=self._parts.scheme,
            connections_timeout=_ANSWER_SECONDS,
            connections_limit=_CONNECTIONS,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consul.http.close()

    async def register(self, instance: Registration) -> None:
        """Makes an instance known, with a gRPC health check every second. Raises RegistryError.

        It is entered as passing: whoever registers is serving already, and the check corrects it within a second.
        """
        check = consul.Check.grpc(
            f"{instance.health_host or instance.host}:{instance.health_port}/{instance.service}",
            "1s",
            timeout="2s",
            deregister="10m",
        )
        check["status"] = "passing"
        await self._call(
            self._consul.agent.service.register(
                instance.service,
                service_id=instance.id,
                address=instance.host,
                port=instance.port,
                tags=[TAG],
                meta=instance.meta,
                check=check,
                replace_existing_checks=True,
            )
        )

    async def deregister(self, instance_id: str) -> None:
        """Forgets an instance. Raises RegistryError."""
        await self._call(self._consul.agent.service.deregister(instance_id))

    async def knows(self, instance: Registration) -> bool:
        """Whether the agent has this very registration, its port included. Raises RegistryError."""
        services = await self._call(self._consul.agent.services())
        known = services.get(instance.id)
        return known is not None and known["Port"] == instance.port

    async def put(self, key: str, value: str) -> None:
        """Writes KV. Raises RegistryError."""
        await self._call(self._consul.kv.put(key, value))

    async def get(self, key: str) -> bytes | None:
        """Reads KV; None where there is nothing. Raises RegistryError."""
        return (await self.get_with_index(key))[0]

    async def get_with_index(self, key: str) -> tuple[bytes | None, int]:
        """As `get`, with the index that `put_if` asks for; 0 where there is nothing. Raises RegistryError."""
        _, entry = await self._call(self._consul.kv.get(key))
        return (entry["Value"] or b"", entry["ModifyIndex"]) if entry else (None, 0)

    async def put_if(self, key: str, value: str, index: int) -> bool:
        """Writes KV unless somebody has since `get_with_index`; returns whether it did. Raises RegistryError."""
        return bool(await self._call(self._consul.kv.put(key, value, cas=index)))

    async def get_below(self, prefix: str) -> dict[str, bytes]:
        """Reads all of KV whose keys begin with `prefix`. Raises RegistryError."""
        _, entries = await self._call(self._consul.kv.get(prefix, recurse=True))
        return {entry["Key"]: entry["Value"] or b"" for entry in entries or ()}

    async def watch_key(self, key: str) -> AsyncIterator[bytes | None]:
        """Yields the value of a key now and after each change; None while there is none."""

        async def read(index: str | None) -> tuple[str, bytes | None]:
            new_index, entry = await self._consul.kv.get(key, index=index, wait=_WAIT)
            return new_index, (entry["Value"] or b"") if entry else None  # what is empty is there all the same

        async for value in _changes(f"key {key}", read):
            yield value

    async def leaf(self, service: str) -> Leaf:
        """The certificate of `service`, one for all who ask this agent until it is renewed. Raises RegistryError."""
        return _leaf(await self._get(f"/v1/agent/connect/ca/leaf/{service}"))

    async def watch_leaf(self, service: str) -> AsyncIterator[Leaf]:
        """Yields the certificate of `service` now and when it is renewed, which Consul does in good time."""
        async for value in self._follow(f"certificate of {service}", f"/v1/agent/connect/ca/leaf/{service}", _leaf):
            yield value

    async def roots(self) -> Roots:
        """Raises RegistryError."""
        return _roots(await self._get(_ROOTS))

    async def watch_roots(self) -> AsyncIterator[Roots]:
        """Yields the CA's roots now and after each change."""
        async for value in self._follow("CA roots", _ROOTS, _roots):
            yield value

    async def datacenter(self) -> str:
        """The name of the agent's datacenter. Raises RegistryError."""
        return str((await self._get("/v1/agent/self"))["Config"]["Datacenter"])

    async def put_config(self, entry: dict[str, Any]) -> None:
        """Writes a config entry, which names its Kind and Name. Raises RegistryError with what Consul finds wrong."""
        await self._call(self._consul.config.set(entry["Kind"], entry["Name"], entry))

    async def put_config_if(self, entry: dict[str, Any], index: int) -> bool:
        """As `put_config`, unless somebody has written since `config_entry`; returns whether it did."""
        return bool(await self._call(self._consul.config.set(entry["Kind"], entry["Name"], entry, cas=index)))

    async def config_entry(self, kind: str, name: str) -> tuple[dict[str, Any] | None, int]:
        """One config entry, with the index that `put_config_if` asks for; None and 0 where there is none.

        Raises RegistryError.
        """
        entry = await self._call(self._consul.config.get(kind, name))
        return (_entries([entry])[0], entry["ModifyIndex"]) if entry else (None, 0)

    async def delete_config(self, kind: str, name: str) -> None:
        """Raises RegistryError."""
        await self._call(self._consul.config.delete(kind, name))

    async def config(self, kind: str) -> list[dict[str, Any]]:
        """The config entries of a kind. Raises RegistryError."""
        return _entries(await self._get(f"/v1/config/{kind}"))

    async def watch_config(self, kind: str) -> AsyncIterator[list[dict[str, Any]]]:
        """Yields the config entries of a kind, for example `service-intentions`, now and after each change."""
        async for value in self._follow(kind, f"/v1/config/{kind}", _entries):
            yield value

    async def services(self) -> frozenset[str]:
        """The names of the mesh's services. Raises RegistryError."""
        return _names((await self._call(self._consul.catalog.services()))[1])

    async def watch_services(self) -> AsyncIterator[frozenset[str]]:
        """Yields the names of the mesh's services now and after each change."""

        async def read(index: str | None) -> tuple[str, frozenset[str]]:
            new_index, services = await self._consul.catalog.services(index=index, wait=_WAIT)
            return new_index, _names(services)

        async for names in _changes("services", read):
            yield names

    async def healthy(self, service: str) -> tuple[Instance, ...]:
        """The instances of a service whose checks pass, in a stable order. Raises RegistryError."""
        return _instances((await self._call(self._consul.health.service(service, passing=True)))[1])

    async def watch_healthy(self, service: str) -> AsyncIterator[tuple[Instance, ...]]:
        """Yields `healthy` now and after each change."""

        async def read(index: str | None) -> tuple[str, tuple[Instance, ...]]:
            new_index, entries = await self._consul.health.service(service, passing=True, index=index, wait=_WAIT)
            return new_index, _instances(entries)

        async for instances in _changes(f"service {service}", read, _TOLD_AGAIN_SECONDS):
            yield instances

    async def _follow(self, what: str, path: str, made: Callable[[Any], T]) -> AsyncIterator[T]:
        """A blocking query of an endpoint that py-consul has no watch for."""

        async def read(index: str | None) -> tuple[str, T]:
            params = [("index", index), ("wait", _WAIT)] if index else []
            new_index, value = await self._consul.http.get(CB.json(index=True, allow_404=False), path, params=params)
            return new_index, made(value)

        async for value in _changes(what, read):
            yield value

    async def _get(self, path: str) -> Any:
        return await self._call(self._consul.http.get(CB.json(allow_404=False), path))

    async def _call(self, request: Awaitable[T]) -> T:
        try:
            return await request
        except _AWAY as problem:
            raise RegistryError(f"Consul at {self._address}: {problem or type(problem).__name__}") from problem


def _names(services: dict[str, list[str]]) -> frozenset[str]:
    return frozenset(name for name, tags in services.items() if TAG in tags)


def _instances(entries: list[dict[str, Any]]) -> tuple[Instance, ...]:
    return tuple(sorted(map(_instance, entries)))


def _instance(entry: dict[str, Any]) -> Instance:
    service = entry["Service"]
    return Instance(
        service=service["Service"],
        id=service["ID"],
        host=service["Address"] or entry["Node"]["Address"],
        port=service["Port"],
        meta=tuple(sorted((service.get("Meta") or {}).items())),
    )


def _leaf(answer: dict[str, Any]) -> Leaf:
    return Leaf(answer["CertPEM"], answer["PrivateKeyPEM"], answer["ServiceURI"])


def _roots(answer: dict[str, Any]) -> Roots:
    roots = sorted(answer["Roots"], key=lambda root: (not root["Active"], root["ID"]))
    return Roots(answer["TrustDomain"], "".join(root["RootCert"] for root in roots))


def _entries(answer: list[dict[str, Any]]) -> list[dict[str, Any]]:
    volatile = {"CreateIndex", "ModifyIndex", "Hash"}
    return [{key: value for key, value in entry.items() if key not in volatile} for entry in answer]


async def _changes(
    what: str, read: Callable[[str | None], Awaitable[tuple[str, T]]], told_again: float = 0.0
) -> AsyncIterator[T]:
    """Turns a blocking query into its distinct values.

    Consul's rules for the index: begin anew when it goes backwards; a wake-up need not be a change. An index
    below that of before comes from a Consul that has lost its data: it is believed after `told_again` seconds.
    """
    index: str | None = None
    reached = 0
    last: list[T] = []
    failures = 0
    while True:
        try:
            new_index, value = await read(index)
            forward = index is None or int(new_index) >= int(index) > 0
        except Exception as problem:  # an answer that nobody understands is as good as none; a watcher goes on
            if failures == 0:
                log.warning(
                    "consul is away, keeping what is known", watching=what, problem=str(problem) or repr(problem)
                )
            failures += 1
            await asyncio.sleep(_pause(failures))
            index = None
            continue
        if failures:
            log.info("consul is back", watching=what, failures=failures)
            failures = 0
            await asyncio.sleep(_BELIEVED_SECONDS)
            continue
        if told_again and int(new_index) < reached:
            log.warning("consul has lost its data, waiting until it is told again", watching=what)
            index, reached = None, 0
            await asyncio.sleep(told_again)
            continue
        index, reached = new_index if forward else None, int(new_index)
        if not last or last[0] != value:
            last[:] = [value]
            yield value


def _pause(failures: int) -> float:
    """The seconds to wait after so many failures in a row, which may be thousands."""
    limit = min(_LAST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2 ** min(failures, 10))
    return random.uniform(limit / 2, limit)  # noqa: S311 - jitter


@contextlib.asynccontextmanager
async def registered(registry: Registry, instance: Registration) -> AsyncIterator[None]:
    """Keeps an instance registered: an agent that lost it, or was away, is told again."""
    await registry.register(instance)
    log.info("registered", address=f"{instance.host}:{instance.port}", health_port=instance.health_port)
    try:
        async with background(_keep_registered(registry, instance), "registration"):
            yield
    finally:  # once nothing would register it again
        with contextlib.suppress(RegistryError, TimeoutError):  # away: its own checks will find us gone
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await registry.deregister(instance.id)


async def _keep_registered(registry: Registry, instance: Registration) -> None:
    while True:
        await asyncio.sleep(_REGISTERING_SECONDS)
        with contextlib.suppress(RegistryError):
            if not await registry.knows(instance):
                log.warning("consul had forgotten this instance")
                await registry.register(instance)
