"""`python -m bench.grpc_versions VERSION ...`: what an echo call costs a bare server and its caller, by grpcio version.

For who thinks of raising the pin (docs/adr/0004); not part of `make bench`, since it installs each version into an
environment of its own, which it removes again. Server and caller are of the same version, on uvloop, in clear.
"""

import asyncio
import contextlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

from bench.rounds import in_turns, rounds

_LEAST, _MOST, _SECONDS = 9, 40, 180
_CALLS = 1600
_PROGRAM = """
import asyncio, sys, time, grpc, uvloop

async def echo(request, context):
    return request

async def serve():
    server = grpc.aio.server()
    handlers = {"Echo": grpc.unary_unary_rpc_method_handler(echo)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", handlers),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    while await asyncio.to_thread(sys.stdin.readline):
        print(time.process_time(), flush=True)

async def call(port):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        echo = channel.unary_unary("/bench.Echo/Echo")
        async def some(number):
            for _ in range(number):
                await echo(b"x" * 100, timeout=5)
        print("ready", flush=True)
        while calls := await asyncio.to_thread(sys.stdin.readline):
            await asyncio.gather(*(some(int(calls) // 16) for _ in range(16)))
            print(time.process_time(), flush=True)

uvloop.run(serve() if sys.argv[1] == "serve" else call(sys.argv[2]))
"""


class _Process:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.first = self._line()

    def ask(self, line: str) -> float:
        print(line, file=self._process.stdin, flush=True)
        return float(self._line())

    def _line(self) -> str:
        return next(self._process.stdout or iter(())).strip()


@contextlib.contextmanager
def _started(python: Path, *arguments: str) -> Iterator[_Process]:
    command = [str(python), "-c", _PROGRAM, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _Process(process)
        finally:
            process.kill()


def _installed(version: str, folder: Path) -> Path:
    """The Python of a new environment with this version."""
    environment = folder / version
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", f"grpcio=={version}", "uvloop"], check=True)
    return python


def main(versions: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-grpc-") as folder, contextlib.ExitStack() as stack:
        sides: dict[str, Callable[[], Awaitable[float]]] = {}
        callers: dict[str, list[float]] = {version: [] for version in versions}
        for version in versions:
            python = _installed(version, Path(folder))
            server = stack.enter_context(_started(python, "serve"))
            caller = stack.enter_context(_started(python, "call", server.first))

            async def once(server: _Process = server, caller: _Process = caller, version: str = version) -> float:
                begun, before = caller.ask("0"), server.ask("")
                callers[version].append((caller.ask(str(_CALLS)) - begun) / _CALLS * 1e6)
                return (server.ask("") - before) / _CALLS * 1e6

            sides[version] = once
            caller.ask(str(_CALLS))
        servers = asyncio.run(in_turns(sides, rounds(_LEAST, _MOST, _SECONDS)))
    print("| grpcio | server | lowest to highest | caller | server / the first |\n|---|---|---|---|---|")
    first = servers[versions[0]]
    for version in versions:
        found = servers[version]
        ratio = statistics.median(mine / theirs for mine, theirs in zip(found, first, strict=True))
        print(
            f"| {version} | {statistics.median(found):.0f} us | {min(found):.0f} to {max(found):.0f} |"
            f" {statistics.median(callers[version]):.0f} us | {ratio:.2f} |"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
