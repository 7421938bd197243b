"""A large mesh on one control plane: 1,000 endpoints of 50 services in a real Consul, and 300 subscribers.

The subscribers hold ADS streams as gRPC clients do, each to the services that it calls, and acknowledge what they get;
the endpoints are entries in Consul behind which nothing listens. Timed is what a change in Consul takes until the last
subscriber that it concerns has acknowledged it.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Sequence
from statistics import quantiles
from typing import Any

import aiohttp
import grpc
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2

from bench.cost import cost
from bench.results import Result
from mesh.control.packing import CLUSTER, ENDPOINTS, LISTENER, ROUTE
from mesh.local import Stack, processes, running

SERVICES, ENDPOINTS_EACH, SUBSCRIBERS, CALLED = 50, 20, 300, 10
"""`CALLED`: how many services each subscriber calls."""
_CHANGES = 200
_PAUSE_SECONDS = 0.05
_CONNECTIONS = 20
_PATIENCE_SECONDS = 60.0
_AIM_SECONDS = 0.5
_AIM_BYTES = 300 * 1024 * 1024
_SEED = 4


def measure() -> Sequence[Result]:
    with running(["consul"], [], control=True) as stack:
        return asyncio.run(_measure(stack))


async def _measure(stack: Stack) -> Sequence[Result]:
    chosen = random.Random(_SEED)  # noqa: S311 - the same mesh each time
    consul, address = stack.environment["CONSUL_HTTP_ADDR"], stack.environment["MESH_XDS_SERVERS"]
    [control] = [each for each in processes.of_stack(stack.run.path) if "mesh.control" in each.cmdline()]
    services = [f"service-{number}" for number in range(SERVICES)]
    async with aiohttp.ClientSession(consul) as session, contextlib.AsyncExitStack() as held:
        for service in services:
            await asyncio.gather(*(_put(session, service, number, 0) for number in range(ENDPOINTS_EACH)))
        channels = [
            await held.enter_async_context(
                grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
            )
            for _ in range(_CONNECTIONS)
        ]
        subscribers = [
            await held.enter_async_context(_following(channels[number % _CONNECTIONS], chosen.sample(services, CALLED)))
            for number in range(SUBSCRIBERS)
        ]
        await _all(subscribers, services, 0)
        sent = sum(each.resources for each in subscribers)
        took = []
        with cost([control]) as spent:
            for change in range(1, _CHANGES + 1):
                service = chosen.choice(services)
                concerned = [each for each in subscribers if service in each.services]
                begin = time.perf_counter()
                await _put(session, service, change % ENDPOINTS_EACH, change)
                await _all(concerned, [service], change)
                took.append(time.perf_counter() - begin)
                await asyncio.sleep(_PAUSE_SECONDS)
        needed = SUBSCRIBERS * CALLED / SERVICES * _CHANGES
        resources = (sum(each.resources for each in subscribers) - sent) / needed
        memory = control.memory_info().rss
    percentiles = quantiles(took, n=100)
    return [
        _told("control plane: change to last acknowledgement, p50", percentiles[49], None, "s"),
        _told("control plane: change to last acknowledgement, p99 / 0.5 s", percentiles[98], _AIM_SECONDS, "s"),
        _told("control plane: CPU a change", spent.cpu / _CHANGES, None, "s"),
        _told("control plane: memory / 300 MiB", memory / 2**20, _AIM_BYTES / 2**20, "MiB"),
        _told("control plane: resources sent / changed", resources, 1.0, ""),
    ]


def _told(name: str, found: float, limit: float | None, unit: str) -> Result:
    return Result.of(name, [found], [limit or found], unit, aim=None if limit is None else 1.0)


async def _put(session: aiohttp.ClientSession, service: str, number: int, change: int) -> None:
    """The port tells which change it is."""
    entry = {
        "Name": service,
        "ID": f"{service}-{number}",
        "Address": f"127.0.0.{number + 1}",
        "Port": 1000 + change,
        "Tags": ["mesh"],
        "Meta": {"version": "1", "zone": "ab"[number % 2]},
    }
    async with session.put("/v1/agent/service/register", json=entry) as response:
        response.raise_for_status()


class _Subscriber:
    """One stream, which holds the endpoints of some services."""

    def __init__(self, stub: Any, services: Sequence[str]) -> None:
        self.services = frozenset(services)
        self.newest = dict.fromkeys(services, -1)
        """The last change of each service that has been acknowledged."""
        self.resources = 0
        """How many have come."""
        self.acknowledged = asyncio.Event()
        self._call = stub.StreamAggregatedResources()

    async def follow(self) -> None:
        for type_url in (LISTENER, ROUTE, CLUSTER, ENDPOINTS):
            await self._ask(type_url)
        while True:
            response = await self._call.read()
            if response is grpc.aio.EOF:
                raise AssertionError("the control plane has closed a stream")
            await self._ask(response.type_url, response)
            self.resources += len(response.resources)
            if response.type_url == ENDPOINTS:
                for packed in response.resources:
                    self._take(endpoint_pb2.ClusterLoadAssignment.FromString(packed.value))
                self.acknowledged.set()

    async def _ask(self, type_url: str, answered: Any = None) -> None:
        request = discovery_pb2.DiscoveryRequest(
            type_url=type_url, resource_names=sorted(self.services), node={"id": "bench", "locality": {"zone": "a"}}
        )
        if answered is not None:
            request.response_nonce, request.version_info = answered.nonce, answered.version_info
        await self._call.write(request)

    def _take(self, assignment: Any) -> None:
        ports = [
            each.endpoint.address.socket_address.port_value
            for group in assignment.endpoints
            for each in group.lb_endpoints
        ]
        if len(ports) == ENDPOINTS_EACH:
            self.newest[assignment.cluster_name] = max(ports) - 1000

    async def has(self, service: str, change: int) -> None:
        while self.newest[service] < change:
            self.acknowledged.clear()
            await self.acknowledged.wait()


async def _all(subscribers: Sequence[_Subscriber], services: Sequence[str], change: int) -> None:
    """Waits until each has acknowledged this change of those services that it follows."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        for subscriber in subscribers:
            for service in subscriber.services.intersection(services):
                await subscriber.has(service, change)


@contextlib.asynccontextmanager
async def _following(channel: grpc.aio.Channel, services: Sequence[str]) -> AsyncIterator[_Subscriber]:
    subscriber = _Subscriber(ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel), services)
    task = asyncio.create_task(subscriber.follow())
    try:
        yield subscriber
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
