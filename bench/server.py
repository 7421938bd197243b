"""M1: the mesh's server with its whole chain against a bare grpc.aio server: CPU of the server's process a call.

Both have the same TLS, certificates and handler, and the same plain caller in another process, which gives each call a
deadline and a token as every client of the mesh does. M5: uvloop against the default loop, for either server.
`python -m bench.server` prints where M1 goes: the server with one interceptor less at a time, and others.
"""

import contextlib
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import uvloop
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceStub

from bench.measured import REQUEST, SECONDS, Instance, Measured, load, measured
from bench.results import Result
from bench.rounds import in_turns, rounds

_LEAST, _MOST = 9, 60
_CALLS = 1600
_PARTS = ("Telemetry", "traces", "Errors", "Deadline", "Peer", "Bulkhead", "Token,Permission", "Validation", "Faults")


def measure() -> Sequence[Result]:
    cpu = _cpu(["mesh", "bare", "mesh@asyncio", "bare@asyncio"], 120)
    return [
        Result.of("M1 server: CPU a call, whole chain / bare", cpu["mesh"], cpu["bare"], "us", aim=1.15),
        Result.of("M5 uvloop / default loop: CPU a call, mesh", cpu["mesh"], cpu["mesh@asyncio"], "us"),
        Result.of("M5 uvloop / default loop: CPU a call, bare", cpu["bare"], cpu["bare@asyncio"], "us"),
    ]


def _cpu(kinds: Sequence[str], seconds: float) -> dict[str, list[float]]:
    """Microseconds a call in each round, for each kind of instance: `KIND` or `KIND@LOOP`."""
    with measured() as made:
        return uvloop.run(_each(made, kinds, seconds))


async def _each(made: Measured, kinds: Sequence[str], seconds: float) -> dict[str, list[float]]:
    async with contextlib.AsyncExitStack() as stack:
        sides = {kind: await stack.enter_async_context(_side(made, *kind.split("@"))) for kind in kinds}
        return await in_turns(sides, rounds(_LEAST, _MOST, seconds))


@contextlib.asynccontextmanager
async def _side(made: Measured, kind: str, loop: str = "uvloop") -> AsyncIterator[Callable[[], Awaitable[float]]]:
    with made.instance(kind, loop) as instance:
        async with made.channel(instance.port) as channel:
            stub = SalesServiceStub(channel)

            async def once() -> float:
                return await _round(made, instance, stub)

            await once()  # to warm it up
            yield once


async def _round(made: Measured, instance: Instance, stub: SalesServiceStub) -> float:
    before = instance.cpu()
    await load(lambda: stub.GetSale(REQUEST, metadata=made.metadata, timeout=SECONDS), _CALLS)
    return (instance.cpu() - before) / _CALLS * 1e6


def main() -> None:
    kinds = ["bare", "options", "mesh-" + ",".join(_PARTS), *(f"mesh-{part}" for part in _PARTS), "mesh"]
    cpu = _cpu(kinds, 240)
    for kind in kinds:
        ratio = statistics.median(mine / bare for mine, bare in zip(cpu[kind], cpu["bare"], strict=True))
        less = statistics.median(whole - mine for mine, whole in zip(cpu[kind], cpu["mesh"], strict=True))
        print(f"{kind:96} {statistics.median(cpu[kind]):6.1f} us  ratio {ratio:.2f}  {less:6.1f} us less than all")


if __name__ == "__main__":
    main()
