"""The aggregated discovery service: one stream a subscriber, state of the world.

https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2

from mesh.control.resources import CLUSTER, ENDPOINTS, LISTENER, ROUTE, TYPES, Resource, Resources
from mesh.telemetry import logger

_WHOLE = {LISTENER, CLUSTER}
"""Of these a response holds all that is subscribed to, and what is missing from it is gone; of others what changed."""
_WARMED_BY = {CLUSTER: ENDPOINTS, LISTENER: ROUTE}
"""Envoy takes a changed cluster into use only when its endpoints are sent after it, changed or not."""

log = logger(__name__)


@dataclass
class Subscription:
    """What one subscriber wants of one type, has been sent and has said to it."""

    names: frozenset[str] = frozenset()
    wildcard: bool = False
    sent: dict[str, str] = field(default_factory=dict)
    """The version of each resource in the last response that held it, taken or refused."""
    responses: int = 0
    nonce: str = ""
    acknowledged: str = ""
    refused: str = ""
    """Why the last response was refused; empty: it was not."""

    def wanted(self, type_url: str, resources: Resources) -> dict[str, Resource]:
        have = resources.by_type.get(type_url, {})
        names = self.names.union(resources.all_of(type_url)) if self.wildcard else self.names
        return {name: have[name] for name in names if name in have}

    def to_send(self, type_url: str, resources: Resources) -> list[Resource] | None:
        """What the subscriber lacks; None: nothing. What it refused is not sent again until it changes."""
        wanted = self.wanted(type_url, resources)
        changed = [each for name, each in wanted.items() if self.sent.get(name) != each.version]
        if type_url in _WHOLE:
            gone = self.sent.keys() - wanted.keys()
            return list(wanted.values()) if changed or gone or not self.responses else None
        return changed or None


class Ads(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):  # type: ignore[misc]  # xds-protos has no types
    """Serves the resources last published to every subscriber, and to each only what it lacks."""

    def __init__(self) -> None:
        self._resources: Resources | None = None
        self._streams: set[asyncio.Queue[Any]] = set()

    def publish(self, resources: Resources) -> None:
        """Makes `resources` the current ones and wakes every stream."""
        self._resources = resources
        for events in self._streams:
            events.put_nowait(None)

    async def StreamAggregatedResources(self, request_iterator: AsyncIterator[Any], context: Any) -> None:
        events: asyncio.Queue[Any] = asyncio.Queue()
        stream = _Stream(context)
        reader = asyncio.create_task(_read(request_iterator, events))
        self._streams.add(events)
        try:
            while (event := await events.get()) is not _END:
                if event is not None and not stream.take(event):
                    continue
                if self._resources is None:
                    continue  # nothing is known yet; the first publication wakes us
                for type_url in TYPES if event is None else (event.type_url,):
                    await stream.send(type_url, self._resources)
        finally:
            self._streams.discard(events)
            reader.cancel()
            log.info("subscriber left", node=stream.node, peer=context.peer())


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
        self._context = context
        self._subscriptions: dict[str, Subscription] = {}
        self.node = ""

    def take(self, request: Any) -> bool:
        """Takes a request: a subscription, an ACK or a NACK. False: it answers to a response that is not the last."""
        if not self.node:  # only the first request need say it
            self.node = request.node.id
            log.info("subscriber came", node=self.node, peer=self._context.peer())
        subscription = self._subscriptions.setdefault(request.type_url, Subscription())
        if request.response_nonce != subscription.nonce:
            return False
        if request.HasField("error_detail"):
            subscription.refused = request.error_detail.message
            log.error(
                "subscriber refused resources",
                node=self.node,
                type=request.type_url,
                resources=sorted(subscription.sent),
                problem=subscription.refused,
            )
        elif request.response_nonce:
            subscription.acknowledged, subscription.refused = subscription.nonce, ""
        names = frozenset(request.resource_names)
        first = not subscription.names and not subscription.wildcard
        subscription.wildcard = (
            "*" in names
            or (request.type_url in _WHOLE and not names and first)
            or (subscription.wildcard and not names)
        )
        subscription.names = names - {"*"}
        for name in subscription.sent.keys() - names if not subscription.wildcard else ():
            del subscription.sent[name]  # unsubscribed: if it is wanted again it must be sent again
        return True

    async def send(self, type_url: str, resources: Resources) -> None:
        subscription = self._subscriptions.get(type_url)
        if subscription is None or (lacking := subscription.to_send(type_url, resources)) is None:
            return
        subscription.responses += 1
        if (warmer := self._subscriptions.get(_WARMED_BY.get(type_url, ""))) is not None:
            for each in lacking:
                if subscription.sent.get(each.name) != each.version:
                    warmer.sent.pop(each.name, None)
        subscription.nonce = str(subscription.responses)
        if type_url in _WHOLE:
            subscription.sent = {}
        subscription.sent |= {each.name: each.version for each in lacking}
        await self._context.write(
            discovery_pb2.DiscoveryResponse(
                type_url=type_url,
                version_info=subscription.nonce,
                nonce=subscription.nonce,
                resources=[each.packed for each in lacking],
            )
        )
