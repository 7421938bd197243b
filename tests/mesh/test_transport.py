"""What both ends agree on: a server that hangs is found out, and pings are welcome as often as they come."""

import asyncio
import signal
import time
from pathlib import Path

import grpc
import pytest
from retail.sales.v1 import sales_service_pb2 as sales
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceStub

from mesh.transport import CLIENT_PING_SECONDS, PONG_SECONDS, channel_options
from tests.eventually import eventually, eventually_sync
from tests.programs import program


async def test_calls_of_a_server_that_hangs_fail_in_seconds_and_those_of_a_slow_one_do_not(tmp_path: Path) -> None:
    with program("tests.mesh.hanging", environment={}, output=tmp_path / "log") as server:
        eventually_sync(lambda: server.said("serving"), 20)
        [told] = server.said("serving")
        async with grpc.aio.insecure_channel(str(told["address"]), options=channel_options()) as channel:
            call = SalesServiceStub(channel).GetSale(sales.GetSaleRequest(), timeout=60)

            async def called() -> bool:
                return bool(server.said("called"))

            await eventually(called)
            ending = asyncio.ensure_future(call.code())
            done, _ = await asyncio.wait([ending], timeout=3 * CLIENT_PING_SECONDS)  # and pings it all the while
            assert not done

            server.process.send_signal(signal.SIGSTOP)
            started = time.monotonic()
            try:
                assert await ending is grpc.StatusCode.UNAVAILABLE
                assert time.monotonic() - started < CLIENT_PING_SECONDS + PONG_SECONDS + 1
            finally:
                server.process.send_signal(signal.SIGCONT)
            with pytest.raises(grpc.aio.AioRpcError):
                await call
