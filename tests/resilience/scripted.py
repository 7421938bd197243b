"""A bare gRPC server that answers any method as a test says, in this process or in one that can be killed."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import grpc
from mesh.v1.error_reason_pb2 import ErrorReason
from retail.auth.v1.auth_service_pb2_grpc import AuthServiceStub
from retail.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceStub

import mesh
from mesh.client import MeshChannel
from mesh.live.settings import Live, LiveSettings

Answer = Callable[[grpc.aio.ServicerContext[Any, Any]], Awaitable[None]]

error = mesh.errors(ErrorReason)


async def ok(context: grpc.aio.ServicerContext[Any, Any]) -> None:
    """The empty response."""


async def hang(context: grpc.aio.ServicerContext[Any, Any]) -> None:
    await asyncio.Event().wait()


def fail(code: grpc.StatusCode) -> Answer:
    async def answer(context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await context.abort(code, "as the test says")

    return answer


def refuse(reason: int, **details: Any) -> Answer:
    """As a server of the mesh refuses."""

    async def answer(context: grpc.aio.ServicerContext[Any, Any]) -> None:
        refusal = error(reason, **details)
        await context.abort(refusal.code, refusal.message, refusal.trailing_metadata())

    return answer


class Scripted:
    """Takes an answer from `script` for each attempt; the last one stays."""

    def __init__(self) -> None:
        self.script: list[Answer] = [ok]
        self.messages = 2
        """Responses of a stream, after its answer."""
        self.after: Answer = ok
        """What a stream does after its responses."""
        self.began: list[float] = []
        """When attempts came in, by `time.monotonic()`."""
        self.remaining: list[float] = []
        """What each had left of its deadline."""
        self.cancelled = 0
        self.address = ""

    def service(self, handler_call_details: Any) -> "grpc.RpcMethodHandler[Any, Any]":
        if handler_call_details.method.endswith("/WatchJob"):
            return grpc.unary_stream_rpc_method_handler(self._stream)
        if handler_call_details.method.endswith("/UploadFiles"):
            return grpc.stream_unary_rpc_method_handler(self._upload)
        return grpc.unary_unary_rpc_method_handler(self._unary)

    async def _unary(self, _: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        await self._answer(context)
        return b""

    async def _stream(self, _: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[bytes]:
        await self._answer(context)
        for _message in range(self.messages):
            yield b""
        await self.after(context)

    async def _upload(self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        async for _ in requests:
            pass
        await self._answer(context)
        return b""

    async def _answer(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self.began.append(time.monotonic())
        self.remaining.append(context.time_remaining() or 0.0)
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        try:
            await answer(context)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    def calls(self, live: Live, destination: str | None = None) -> "Calls":
        return Calls(self.address, live, destination)


@contextlib.asynccontextmanager
async def scripted() -> AsyncIterator[Scripted]:
    script = Scripted()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((cast(Any, script),))
    script.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield script
    finally:
        await server.stop(None)


class Calls:
    """Stubs over a mesh channel to a server at an address, which is its destination's name too."""

    def __init__(self, address: str, live: Live, destination: str | None = None) -> None:
        self.destination = destination or address
        # gRPC itself waits up to two minutes before it tries a lost server again
        options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 50)]
        self.channel = MeshChannel(grpc.aio.insecure_channel(address, options=options), self.destination, live=live)
        self.sales = SalesServiceStub(self.channel)
        self.ingest = IngestServiceStub(self.channel)
        self.auth = AuthServiceStub(self.channel)

    async def __aenter__(self) -> "Calls":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()


def live(**parts: Any) -> Live:
    """Live settings, of which a test says what differs, for example `live(retry={"max_attempts": 1})`."""
    return Live(LiveSettings.model_validate(parts))


async def outcome(call: Awaitable[Any]) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as failure:
        return failure.code()
    return grpc.StatusCode.OK


@dataclass(frozen=True)
class Victim:
    """A server that answers everything, in a process of its own."""

    process: "subprocess.Popen[str]"
    address: str

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        if number is signal.SIGKILL:
            self.process.wait()


@contextlib.contextmanager
def victim() -> Iterator[Victim]:
    process = subprocess.Popen([sys.executable, "-m", __name__], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        with process.stdout:
            yield Victim(process, process.stdout.readline().strip())
    finally:
        process.kill()
        process.wait()


async def _serve() -> None:
    async with scripted() as server:
        print(server.address, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
