"""Sheds load: an instance works on so many calls at a time, and on so many of one method."""

import random
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

import grpc
from prometheus_client import Counter, Gauge

import mesh
from mesh.interceptors.chain import Handler, Rpc
from mesh.live.settings import Live
from mesh.resilience.bulkhead import Bulkhead as Mechanism
from mesh.resilience.bulkhead import FullError
from mesh.v1.error_reason_pb2 import ErrorReason

error = mesh.errors(ErrorReason)

_servers: "WeakSet[Mechanism]" = WeakSet()
_methods: "WeakSet[Mechanism]" = WeakSet()
_REFUSED = Counter("mesh_server_refused", "Calls refused since too many were worked on.", ["limit"])
# Read when they are asked for: a call pays nothing for them.
Gauge("mesh_server_in_flight", "Calls being worked on.").set_function(lambda: sum(each.in_flight for each in _servers))
Gauge("mesh_server_queued", "Calls waiting to be worked on.").set_function(
    lambda: sum(each.queued for each in [*_servers, *_methods])
)


@dataclass(frozen=True)
class _MethodPlaces:
    """A method's own number of places, and the server's queue."""

    max_concurrent_calls: int
    live: Live

    @property
    def max_queued_calls(self) -> int:
        return self.live.current.limits.max_queued_calls

    @property
    def queue_seconds(self) -> float:
        return self.live.current.limits.queue_seconds


class Bulkhead:
    """Refuses what is too much with OVERLOADED: `limit` says whose limit, RetryInfo when to try again."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._server = Mechanism(lambda: live.current.limits)
        _servers.add(self._server)

    def wrap(self, rpc: Rpc, proceed: Handler) -> Handler:
        proceed = self._limited(proceed, self._server, "server")
        if rpc.policy is None or not rpc.policy.max_concurrent_calls:
            return proceed
        places = _MethodPlaces(rpc.policy.max_concurrent_calls, self._live)
        method = Mechanism(lambda: places)
        _methods.add(method)
        # The narrower one first: who waits for it keeps no place of the server.
        return self._limited(proceed, method, "method")

    def _limited(self, proceed: Handler, bulkhead: Mechanism, limit: str) -> Handler:
        refused = _REFUSED.labels(limit)

        async def handle(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            if not bulkhead.enter():
                try:
                    await bulkhead.queue()
                except FullError:
                    refused.inc()
                    raise self._overloaded(limit) from None
            try:
                return await proceed(request, context)
            finally:
                bulkhead.leave()

        return handle

    def _overloaded(self, limit: str) -> mesh.Error:
        spread = random.uniform(1, 2)  # noqa: S311 - so that those refused together do not come back together
        retry_after = self._live.current.limits.queue_seconds * spread
        return error(ErrorReason.ERROR_REASON_OVERLOADED, limit=limit, retry_after=retry_after)
