"""What the mesh costs a caller: CPU of the caller's process a call.

M2: the mesh's channel against a bare stub, which is given the same deadline and token. M3: how fast a call fails that
an open breaker does not let through. M4: a channel that the control plane tells of two instances (xds:///, certificates
from files) against one that is given their addresses (round robin, the same TLS).
"""

import contextlib
import json
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import grpc
import uvloop
from envoy.service.discovery.v3 import ads_pb2_grpc
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceStub

from bench import certificates
from bench.instance import CALLER, HOST, SERVICE
from bench.measured import REQUEST, SECONDS, Measured, load, measured
from bench.results import Result
from bench.rounds import in_turns, rounds
from mesh.client.bootstrap import xds_bootstrap
from mesh.client.channel import MeshChannel
from mesh.control.ads import Ads
from mesh.control.resources import resources
from mesh.control.snapshot import Snapshot, Trust
from mesh.identity import Identity
from mesh.identity.credentials import channel_credentials
from mesh.live.settings import Breaker, Live, LiveSettings
from mesh.registry import Instance
from mesh.settings import MeshSettings
from mesh.transport import channel_options

_LEAST, _MOST, _SECONDS = 9, 60, 60
_CALLS = 1600
_REFUSED_CALLS = 2000
_AIM_REFUSED = 100.0
"""Microseconds."""
_BOOTSTRAP = "grpc.TEST_ONLY_DO_NOT_USE_IN_PROD.xds_bootstrap_config"

Side = Callable[[], Awaitable[float]]


def measure() -> Sequence[Result]:
    with measured() as made:
        return [*uvloop.run(_stubs(made)), *uvloop.run(_refusals()), *uvloop.run(_balanced(made))]


async def _stubs(made: Measured) -> Sequence[Result]:
    with made.instance("bare") as instance:
        async with (
            made.channel(instance.port, options=channel_options()) as bare,
            made.channel(instance.port, options=channel_options()) as inner,
            MeshChannel(inner, SERVICE, token=lambda: made.token) as ours,
        ):
            sides = {
                "mesh": await _side(ours),
                "bare": await _side(bare, timeout=SECONDS, metadata=made.metadata),
                "naked": await _side(bare),
            }
            cpu = await in_turns(sides, rounds(_LEAST, _MOST, _SECONDS))
    return [
        Result.of("M2 client: CPU a call, mesh / bare stub", cpu["mesh"], cpu["bare"], "us", aim=1.08),
        Result.of("M2 client: the same / without deadline and token", cpu["mesh"], cpu["naked"], "us"),
    ]


async def _balanced(made: Measured) -> Sequence[Result]:
    with made.instance("bare") as one, made.instance("bare") as other:
        ports = (one.port, other.port)
        async with made.channel(*ports, options=channel_options()) as static, _discovered(made, *ports) as found:
            sides = {
                "xds": await _side(found, timeout=SECONDS, metadata=made.metadata),
                "static": await _side(static, timeout=SECONDS, metadata=made.metadata),
            }
            cpu = await in_turns(sides, rounds(_LEAST, _MOST, _SECONDS))
    return [Result.of("M4 xDS: CPU a call, xds:/// / addresses given", cpu["xds"], cpu["static"], "us", aim=1.02)]


async def _side(channel: grpc.aio.Channel, **options: Any) -> Side:
    """A round's microseconds of CPU a call; warm."""
    stub = SalesServiceStub(channel)

    async def once() -> float:
        before = time.process_time()
        await load(lambda: stub.GetSale(REQUEST, **options), _CALLS)
        return (time.process_time() - before) / _CALLS * 1e6

    await once()
    return once


@contextlib.asynccontextmanager
async def _discovered(made: Measured, *ports: int) -> AsyncIterator[grpc.aio.Channel]:
    """A channel by a control plane in this process, which has nothing to do once the channel knows the instances."""
    instances = tuple(Instance(SERVICE, f"{SERVICE}-{port}", HOST, port) for port in ports)
    trust = Trust(certificates.TRUST_DOMAIN, certificates.DATACENTER)
    snapshot = Snapshot({SERVICE: instances}, trust=trust)
    ads = Ads()
    ads.publish(lambda view: resources(snapshot, view))
    server = grpc.aio.server()
    ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(ads, server)
    settings = MeshSettings.from_environment({"MESH_XDS_SERVERS": f"{HOST}:{server.add_insecure_port(f'{HOST}:0')}"})
    await server.start()
    identity = Identity(made.folder / CALLER, made.caller)
    options = [*channel_options(), (_BOOTSTRAP, json.dumps(xds_bootstrap(settings, identity)))]
    try:
        async with grpc.aio.secure_channel(f"xds:///{SERVICE}", channel_credentials(), options=options) as channel:
            yield channel
    finally:
        await server.stop(None)


async def _refusals() -> Sequence[Result]:
    """Of a destination at whose port nothing listens."""
    live = Live(LiveSettings(breaker=Breaker(failures=1, open_seconds=600)))
    async with MeshChannel(grpc.aio.insecure_channel(f"{HOST}:1"), "away", live=live) as channel:
        stub = SalesServiceStub(channel)
        await _failing(stub)
        medians, slowest = [], []
        for _ in rounds(_LEAST, _MOST, 10):
            lasted = sorted([await _failing(stub) for _ in range(_REFUSED_CALLS)])
            medians.append(statistics.median(lasted) * 1e6)
            slowest.append(lasted[int(_REFUSED_CALLS * 0.99)] * 1e6)
    limit = [_AIM_REFUSED] * len(medians)
    return [
        Result.of("M3 breaker open: p50 of a refused call / 100 us", medians, limit, "us", aim=1.0),
        Result.of("M3 breaker open: p99 of a refused call / 100 us", slowest, limit, "us", aim=1.0),
    ]


async def _failing(stub: SalesServiceStub) -> float:
    """Seconds until it has failed."""
    begin = time.perf_counter()
    try:
        await stub.GetSale(REQUEST)
    except grpc.aio.AioRpcError:
        return time.perf_counter() - begin
    raise AssertionError("somebody listens there")


if __name__ == "__main__":
    for each in measure():
        print(each)
