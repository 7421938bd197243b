"""TestService of the gRPC project's interoperability tests (grpc/grpc, doc/interop-test-descriptions.md)."""

import asyncio
import importlib
from collections.abc import AsyncIterator
from typing import Any

import grpc

rpc: Any = importlib.import_module("interop.test_pb2_grpc")
messages: Any = importlib.import_module("interop.messages_pb2")
empty: Any = importlib.import_module("interop.empty_pb2")

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_INITIAL, _TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"


class Interop(rpc.TestServiceServicer):  # type: ignore[misc]  # there are no types of it
    async def EmptyCall(self, request: Any, context: Any) -> Any:
        return empty.Empty()

    async def UnaryCall(self, request: Any, context: Any) -> Any:
        await _echo(context)
        await _end(request, context)
        return messages.SimpleResponse(payload=_payload(request.response_size))

    async def StreamingOutputCall(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for answer in _answers(request):
            yield answer

    async def StreamingInputCall(self, requests: AsyncIterator[Any], context: Any) -> Any:
        total = sum([len(request.payload.body) async for request in requests])
        return messages.StreamingInputCallResponse(aggregated_payload_size=total)

    async def FullDuplexCall(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        await _echo(context)
        async for request in requests:
            await _end(request, context)
            async for answer in _answers(request):
                yield answer

    async def HalfDuplexCall(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        for request in [request async for request in requests]:
            async for answer in _answers(request):
                yield answer


async def _echo(context: Any) -> None:
    came = dict(context.invocation_metadata() or ())
    if _TRAILING in came:
        context.set_trailing_metadata(((_TRAILING, came[_TRAILING]),))
    if _INITIAL in came:
        await context.send_initial_metadata(((_INITIAL, came[_INITIAL]),))


async def _end(request: Any, context: Any) -> None:
    if request.response_status.code:
        await context.abort(_CODES[request.response_status.code], request.response_status.message)


async def _answers(request: Any) -> AsyncIterator[Any]:
    for each in request.response_parameters:
        await asyncio.sleep(each.interval_us / 1_000_000)
        yield messages.StreamingOutputCallResponse(payload=_payload(each.size))


def _payload(size: int) -> Any:
    return messages.Payload(body=bytes(size))
