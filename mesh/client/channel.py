"""The channel that a service calls another by: any channel of grpc.aio, with what the mesh adds to its calls."""

import time
from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType
from typing import Any, Self

import grpc

from mesh.client import outgoing
from mesh.client.calls import Call, RefusedCall, StreamCall, StreamStreamCall, StreamUnaryCall, UnaryCall
from mesh.client.destination import Method, circuit_open, destination, too_late
from mesh.live.settings import Live
from mesh.resilience.breaker import Refused
from mesh.telemetry import tracing


class MeshChannel(grpc.aio.Channel):
    """`inner`, whose calls go to `name` with deadline, token, retries, breaker and metrics.

    `token` gives the access token to send; without it the token of the call being served is carried on. `live` are the
    destination's settings, of which all channels of this process to it use the ones given last. What a method's
    contract says is looked up when a stub is made. Closing it closes `inner`.
    """

    def __init__(
        self,
        inner: grpc.aio.Channel,
        name: str,
        *,
        token: Callable[[], str | None] | None = None,
        live: Live | None = None,
    ) -> None:
        self._inner = inner
        self._destination = destination(name, live)
        self._token = token or outgoing.carried_on

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._bound(UnaryCall, method, self._inner.unary_unary(method, *args, **kwargs))

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._bound(StreamCall, method, self._inner.unary_stream(method, *args, **kwargs))

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._bound(StreamUnaryCall, method, self._inner.stream_unary(method, *args, **kwargs))

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._bound(StreamStreamCall, method, self._inner.stream_stream(method, *args, **kwargs))

    def _bound(self, call: type[Call], method: str, inner: Callable[..., Any]) -> "BoundMethod":
        return BoundMethod(call, Method(method, self._destination), inner, self._token)

    async def close(self, grace: float | None = None) -> None:
        await self._inner.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._inner.channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.close()


class BoundMethod:
    """What a stub calls: a method of grpc.aio's channel, bound to what the mesh knows of it."""

    def __init__(
        self, call: type[Call], method: Method, inner: Callable[..., Any], token: Callable[[], str | None]
    ) -> None:
        self._call = call
        self._method = method
        self._inner = inner
        self._breaker = method.at.breaker
        self._count = method.at.budget.count
        self._token = token

    def __call__(  # noqa: PLR0917 - as grpc.aio has it
        self,
        request: Any = None,
        timeout: float | None = None,
        metadata: Iterable[outgoing.Pair] | None = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        method = self._method
        seconds = outgoing.seconds(timeout, method.default_seconds)
        if seconds is not None and seconds <= 0:
            return self._refused(too_late())
        begin = partial(
            self._inner,
            request,
            metadata=outgoing.headers(metadata, self._token),
            credentials=credentials,
            wait_for_ready=wait_for_ready,
            compression=compression,
        )
        begin = tracing.outgoing(method.path, begin)
        probe = None
        if not self._breaker.closed:
            try:
                probe = self._breaker.admit()
            except Refused as refusal:
                return self._refused(circuit_open(method.at.name, refusal.retry_after))
        started = time.monotonic()
        self._count(started)
        try:
            return self._call(method, begin, started, seconds, probe)
        except BaseException:  # the channel is closed, or an argument is wrong
            self._breaker.gave_up(probe)
            raise

    def _refused(self, error: grpc.aio.AioRpcError) -> RefusedCall:
        self._method.count(error.code())
        return RefusedCall(error)
