"""The aggregated discovery service: one stream a subscriber, state of the world.

https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from prometheus_client import Counter, Gauge

from mesh.control.packing import CLUSTER, ENDPOINTS, LISTENER, ROUTE
from mesh.control.resources import TYPES, Resources
from mesh.control.subscription import WHOLE, Subscription
from mesh.control.view import Kind, View
from mesh.telemetry import logger

_WARMED_BY = {CLUSTER: ENDPOINTS, LISTENER: ROUTE}
"""Envoy takes a changed cluster into use only when its endpoints are sent after it, changed or not."""
_STEPS = (*((type_url, False) for type_url in TYPES), (CLUSTER, True), (LISTENER, True))
"""A change makes before it breaks: what is gone is dropped when nothing leads there any more."""

_SUBSCRIBERS = Gauge("mesh_xds_subscribers", "Clients that hold a stream", ["kind"])
_PUSHES = Counter("mesh_xds_pushes_total", "Responses sent", ["type"])
_RESOURCES = Counter("mesh_xds_resources_sent_total", "Resources in them", ["type"])
_NACKS = Counter("mesh_xds_nacks_total", "Responses that a subscriber refused", ["type"])

log = logger(__name__)


def short(type_url: str) -> str:
    """`Cluster` for the type of clusters."""
    return type_url.rpartition(".")[2]


class Ads(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):  # type: ignore[misc]  # xds-protos has no types
    """Serves the resources last published to every subscriber, and to each only what it lacks."""

    def __init__(self) -> None:
        self._resources: Callable[[View], Resources] | None = None
        self._streams: set[_Stream] = set()

    def publish(self, resources: Callable[[View], Resources]) -> None:
        """Makes these the current resources and wakes every stream. They are made once for each view that is asked."""
        self._resources = cache(resources)
        for stream in self._streams:
            stream.events.put_nowait(None)

    def current(self, view: View) -> Resources:
        """What a subscriber of this view is shown; nothing as long as nothing was published."""
        return self._resources(view) if self._resources else Resources({})

    def subscribers(self) -> list[dict[str, Any]]:
        """What each subscriber was given and what it said to it, for people."""
        return [stream.described(self.current(stream.view)) for stream in sorted(self._streams, key=lambda s: s.node)]

    async def StreamAggregatedResources(self, request_iterator: AsyncIterator[Any], context: Any) -> None:
        stream = _Stream(context)
        reader = asyncio.create_task(_read(request_iterator, stream.events))
        self._streams.add(stream)
        try:
            while (event := await stream.events.get()) is not _END:
                if event is not None and not stream.take(event):
                    continue
                if self._resources is None:
                    continue  # nothing is known yet; the first publication wakes us
                steps = _STEPS if event is None else [(event.type_url, False), (_WARMED_BY.get(event.type_url), False)]
                for type_url, drop in steps:
                    await stream.send(type_url, self._resources(stream.view), drop=drop)
        finally:
            self._streams.discard(stream)
            reader.cancel()
            stream.left()


_END = object()


async def _read(requests: AsyncIterator[Any], events: "asyncio.Queue[Any]") -> None:
    try:
        async for request in requests:
            events.put_nowait(request)
    finally:
        events.put_nowait(_END)


class _Stream:
    """One subscriber."""

    def __init__(self, context: Any) -> None:
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        """Requests, None for a publication, and _END."""
        self.node = ""
        self.view = View()
        self._context = context
        self._since = datetime.now(UTC)
        self._subscriptions: dict[str, Subscription] = {}

    def take(self, request: Any) -> bool:
        """Takes a request: a subscription, an ACK or a NACK. False: it gives no reason to send anything."""
        if not self.node:  # only the first request need say it
            self.node = request.node.id or "?"
            self.view = View.of(request.node)
            _SUBSCRIBERS.labels(self.view.kind.value).inc()
            log.info("subscriber came", node=self.node, peer=self._context.peer(), **_said(self.view))
        type_url, nonce = request.type_url, request.response_nonce
        subscription = self._subscriptions.setdefault(type_url, Subscription(type_url))
        refused = nonce in subscription.unanswered and request.HasField("error_detail")
        if refused:
            blamed = subscription.refuse(nonce, request.error_detail.message)
            _NACKS.labels(short(type_url)).inc()
            log.error(
                "subscriber refused resources",
                node=self.node,
                type=type_url,
                resources=blamed,
                problem=request.error_detail.message,
            )
        elif nonce in subscription.unanswered:
            subscription.taken(nonce)
        if (
            subscription.responses and nonce != subscription.nonce
        ):  # its names are older than what it has been sent since
            return refused
        subscription.wants(frozenset(request.resource_names))
        return True

    async def send(self, type_url: str | None, resources: Resources, *, drop: bool) -> None:
        subscription = self._subscriptions.get(type_url or "")
        if type_url is None or subscription is None:
            return
        version = resources.versions.get(type_url, "")
        if subscription.settled == version:
            return
        if (lacking := subscription.lacking(resources.by_type.get(type_url, {}), drop=drop)) is None:
            if drop or type_url not in WHOLE:
                subscription.settled = version
            return
        warmer = self._subscriptions.get(_WARMED_BY.get(type_url, ""))
        if warmer is not None and self.view.kind is Kind.ENVOY:
            for each in filter(subscription.is_news, lacking):
                warmer.sent.pop(each.name, None)
                warmer.settled = ""
        subscription.responded(lacking)
        _PUSHES.labels(short(type_url)).inc()
        _RESOURCES.labels(short(type_url)).inc(len(lacking))
        await self._context.write(
            discovery_pb2.DiscoveryResponse(
                type_url=type_url,
                version_info=version,
                nonce=subscription.nonce,
                resources=[each.packed for each in lacking],
            )
        )

    def left(self) -> None:
        if self.node:
            _SUBSCRIBERS.labels(self.view.kind.value).dec()
        log.info("subscriber left", node=self.node, peer=self._context.peer())

    def described(self, resources: Resources) -> dict[str, Any]:
        types = {}
        for type_url, subscription in self._subscriptions.items():
            available = resources.by_type.get(type_url, {})
            names = subscription.names.union(available) if subscription.wildcard else subscription.names
            types[short(type_url)] = {
                name: _described(name, subscription, available.get(name)) for name in sorted(names)
            }
        since = self._since.isoformat(timespec="seconds")
        return {"node": self.node, "peer": self._context.peer(), **_said(self.view), "since": since, "types": types}


def _said(view: View) -> dict[str, str]:
    return {"kind": view.kind.value, "zone": view.zone}


def _described(name: str, subscription: Subscription, current: Any) -> dict[str, Any]:
    acknowledged, refused = subscription.acknowledged.get(name), subscription.refused.get(name)
    if refused and (current is None or refused.version != current.version):
        refused = None
    return {
        "current": current.version if current else None,
        "acknowledged": acknowledged.version if acknowledged else None,
        "refused": {"version": refused.version, "problem": refused.problem} if refused else None,
    }
