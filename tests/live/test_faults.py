"""Faults over a real channel: whom they strike, with what, and whom they leave alone."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import REGISTRY
from retail.sales.v1 import sales_service_pb2 as sales
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceServicer, SalesServiceStub

from mesh import callers
from mesh.error import Described, from_rpc_error
from mesh.interceptors import Handler, Rpc, intercepted, server_chain
from mesh.live.settings import Fault, Live, LiveSettings
from mesh.server import Server
from mesh.testing import Issuer
from mesh.token_keys import TokenKeys

SALE_ID = "6f1d9f3e-58b1-4f6b-9c38-0d6d3a1f2b11"
KINDS = ["unary_unary", "unary_stream", "stream_unary", "stream_stream"]


class Peer:
    """Takes the caller's word for who it is, where the mesh takes its certificate's."""

    def wrap(self, rpc: Rpc, proceed: Handler) -> Handler:
        async def handle(request: Any, context: Any) -> Any:
            callers.peer.set(dict(context.invocation_metadata()).get("peer", ""))
            return await proceed(request, context)

        return handle


class Echo:
    """A server of all four kinds of RPC behind the chain, and a client of it."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.served: list[str] = []
        self._server = grpc.aio.server()
        chain = [Peer(), *server_chain(TokenKeys(), live)]
        handlers = {}
        for kind, behaviour in zip(KINDS, (self._one, self._many, self._join, self._each), strict=True):
            bare = getattr(grpc, f"{kind}_rpc_method_handler")(behaviour)
            handlers[kind] = intercepted(chain, f"/test.Echo/{kind}", None, bare)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))

    async def __aenter__(self) -> "Echo":
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()
        await self._server.stop(None)

    async def call(
        self,
        kind: str = "unary_unary",
        headers: Mapping[str, str] | None = None,
        seconds: float = 20,
        *,
        silent: bool = False,
    ) -> list[bytes]:
        """The answers to the messages `a` and `b`, or to `a` alone."""

        async def messages() -> AsyncIterator[bytes]:
            if silent:
                await asyncio.Event().wait()
            yield b"a"
            yield b"b"

        method = getattr(self._channel, kind)(f"/test.Echo/{kind}")
        call = method(
            messages() if kind.startswith("stream") else b"a", metadata=tuple((headers or {}).items()), timeout=seconds
        )
        return [answer async for answer in call] if kind.endswith("stream") else [await call]

    async def refused(self, kind: str = "unary_unary", headers: Mapping[str, str] | None = None) -> Described:
        # A client of grpc.aio that is about to send when a two-way stream is refused is told INTERNAL by its own side.
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await self.call(kind, headers, silent=kind == "stream_stream")
        return from_rpc_error(failure.value)

    async def _one(self, request: bytes, context: Any) -> bytes:
        self.served.append("unary_unary")
        return request

    async def _many(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        self.served.append("unary_stream")
        for _ in range(2):
            yield request

    async def _join(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        self.served.append("stream_unary")
        return b"".join([request async for request in requests])

    async def _each(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        self.served.append("stream_stream")
        async for request in requests:
            yield request


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    async with Echo(Live()) as served:
        yield served


def injected(fault: str) -> float:
    return REGISTRY.get_sample_value("mesh_faults_injected_total", {"fault": fault}) or 0.0


def inject(echo: Echo, faults: Mapping[str, Fault]) -> None:
    echo.live.replace(LiveSettings(faults=dict(faults)))


@pytest.mark.parametrize("kind", KINDS)
async def test_an_abort_ends_a_call_of_any_kind_before_its_handler(echo: Echo, kind: str) -> None:
    answers = await echo.call(kind)
    echo.served.clear()
    before = injected("down")
    inject(echo, {"down": Fault(abort="DATA_LOSS")})
    assert await echo.refused(kind) == Described(
        code="DATA_LOSS",
        message="The fault down was injected on purpose",
        reason="FAULT_INJECTED",
        domain="mesh.v1",
        metadata={"fault": "down"},
    )
    assert (echo.served, injected("down") - before) == ([], 1)
    inject(echo, {})
    assert await echo.call(kind) == answers


@pytest.mark.parametrize("kind", KINDS)
async def test_a_delay_holds_a_call_of_any_kind_back_and_lets_it_go_on(echo: Echo, kind: str) -> None:
    answers = await echo.call(kind)
    inject(echo, {"slow": Fault(delay_seconds=0.3)})
    started = time.monotonic()
    assert await echo.call(kind) == answers
    assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize("code", [code.name for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
async def test_every_canonical_code_can_be_injected(echo: Echo, code: Any) -> None:
    inject(echo, {"any": Fault(abort=code)})
    assert (await echo.refused()).code == code


@pytest.mark.parametrize(
    ("fault", "headers", "struck"),
    [
        (Fault(abort="ABORTED", methods=("unary_unary",)), {}, True),
        (Fault(abort="ABORTED", methods=("another", "unary_unary")), {}, True),
        (Fault(abort="ABORTED", methods=("unary_stream",)), {}, False),
        (Fault(abort="ABORTED", callers=("edge", "search")), {"peer": "search"}, True),
        (Fault(abort="ABORTED", callers=("edge",)), {"peer": "search"}, False),
        (Fault(abort="ABORTED", callers=("edge",)), {}, False),
        (Fault(abort="ABORTED", headers={"tester": "ada"}), {"tester": "ada"}, True),
        (Fault(abort="ABORTED", headers={"tester": "ada"}), {"tester": "Ada"}, False),
        (Fault(abort="ABORTED", headers={"tester": "ada"}), {}, False),
        (Fault(abort="ABORTED", headers={"tester": "ada", "run": "7"}), {"tester": "ada"}, False),
        (Fault(abort="ABORTED", headers={"tester": "ada"}, callers=("edge",)), {"tester": "ada"}, False),
        (Fault(abort="ABORTED", headers={"tester": "ada"}, callers=("edge",)), {"tester": "ada", "peer": "edge"}, True),
    ],
)
async def test_a_fault_strikes_what_matches_all_that_it_names(
    echo: Echo, fault: Fault, headers: dict[str, str], *, struck: bool
) -> None:
    inject(echo, {"picky": fault})
    if struck:
        assert (await echo.refused(headers=headers)).reason == "FAULT_INJECTED"
    else:
        assert await echo.call(headers=headers) == [b"a"]


async def test_a_percentage_strikes_about_as_many(echo: Echo) -> None:
    inject(echo, {"some": Fault(abort="UNAVAILABLE", percentage=30)})
    calls, failed = 1000, 0
    for _ in range(calls):
        try:
            await echo.call()
        except grpc.aio.AioRpcError:
            failed += 1
    assert 220 < failed < 380  # 5.5 standard deviations each way
    assert len(echo.served) == calls - failed


async def test_a_delay_does_not_outlast_the_callers_deadline(echo: Echo) -> None:
    inject(echo, {"slow": Fault(delay_seconds=60)})
    started = time.monotonic()
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await echo.call(seconds=0.3)
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - started < 5
    assert echo.served == []


async def test_faults_strike_in_their_order_and_the_first_abort_ends_it(echo: Echo) -> None:
    faults = {"slow": Fault(delay_seconds=0.2), "down": Fault(abort="ABORTED"), "late": Fault(abort="INTERNAL")}
    before = injected("late")
    inject(echo, faults)
    started = time.monotonic()
    assert (await echo.refused()).metadata == {"fault": "down"}
    assert time.monotonic() - started >= 0.2
    assert injected("late") == before


class Sales(SalesServiceServicer):
    async def GetSale(self, request: Any, context: Any) -> sales.GetSaleResponse:
        return sales.GetSaleResponse(sale=sales.Sale(sale_id=request.sale_id))

    RecordSale = ListSales = None  # type: ignore[assignment]


async def test_a_fault_stands_behind_every_check_and_leaves_health_alone() -> None:
    issuer = Issuer()
    live = Live(LiveSettings(faults={"down": Fault(abort="UNAVAILABLE")}))
    server = Server(Sales(), interceptors=server_chain(TokenKeys(issuer.published()), live))
    port = await server.start("127.0.0.1")
    await server.set_serving(True)
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:

            async def reason(sale_id: str, *permissions: str) -> str:
                token = issuer.token(permissions=permissions)
                with pytest.raises(grpc.aio.AioRpcError) as failure:
                    await SalesServiceStub(channel).GetSale(
                        sales.GetSaleRequest(sale_id=sale_id), metadata=(("authorization", f"Bearer {token}"),)
                    )
                return from_rpc_error(failure.value).reason

            assert await reason(SALE_ID) == "PERMISSION_MISSING"
            assert await reason("no uuid", "sales.read") == "INVALID_REQUEST"
            assert await reason(SALE_ID, "sales.read") == "FAULT_INJECTED"
            health: Any = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest())
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
    finally:
        await server.stop(None)
