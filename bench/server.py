"""M1: the mesh's server with its whole chain against a bare grpc.aio server: CPU of the server's process a call.

Both have the same TLS, certificates and handler, and the same plain caller in another process. `python -m bench.server`
prints where it goes: the chain without one interceptor at a time.
"""

import contextlib
import statistics
from collections.abc import Mapping, Sequence

import uvloop
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceStub

from bench.measured import REQUEST, Measured, load, measured
from bench.results import Result
from bench.rounds import rounds

_LEAST, _MOST, _SECONDS = 9, 25, 90
_CALLS = 2000
_WARM_UP = 600
_PARTS = ("Telemetry", "Errors", "Deadline", "Peer", "Bulkhead", "Token,Permission", "Validation", "Faults")


def measure() -> Sequence[Result]:
    with measured() as all_of_it:
        cpu = uvloop.run(each_in_turn(all_of_it, {"mesh": "uvloop", "bare": "uvloop"}, _SECONDS))
    return [Result.of("M1 server: CPU a call, whole chain / bare", cpu["mesh"], cpu["bare"], "us", aim=1.15)]


async def each_in_turn(
    measured: Measured, loops: Mapping[str, str], seconds: float, calls: int = _CALLS
) -> dict[str, list[float]]:
    """Microseconds of CPU a call in each round, for each kind of instance; `loops` says on which event loop it is."""
    spent: dict[str, list[float]] = {kind: [] for kind in loops}
    async with contextlib.AsyncExitStack() as stack:
        sides = {}
        for kind, loop in loops.items():
            instance = stack.enter_context(measured.instance(kind.partition("@")[0], loop))
            channel = await stack.enter_async_context(measured.channel(instance.port))
            get_sale = SalesServiceStub(channel).GetSale

            def call(get_sale=get_sale):  # type: ignore[no-untyped-def]
                return get_sale(REQUEST, metadata=measured.metadata)

            sides[kind] = instance, call
            await load(call, _WARM_UP)
        order = list(sides)
        for number in rounds(_LEAST, _MOST, seconds):
            for kind in order[number % len(order) :] + order[: number % len(order)]:
                instance, call = sides[kind]
                before = instance.cpu()
                await load(call, calls)
                spent[kind].append((instance.cpu() - before) / calls * 1e6)
    return spent


def main() -> None:
    kinds = ["bare", "options", "mesh-" + ",".join(_PARTS), *(f"mesh-{part}" for part in _PARTS), "mesh"]
    with measured() as all_of_it:
        cpu = uvloop.run(each_in_turn(all_of_it, dict.fromkeys(kinds, "uvloop"), 180))
    for kind in kinds:
        ratio = statistics.median(mine / bare for mine, bare in zip(cpu[kind], cpu["bare"], strict=True))
        less = statistics.median(whole - mine for mine, whole in zip(cpu[kind], cpu["mesh"], strict=True))
        print(f"{kind[:40]:42} {statistics.median(cpu[kind]):7.1f} us  ratio {ratio:.3f}  {less:6.1f} us less than all")


if __name__ == "__main__":
    main()
