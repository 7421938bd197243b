"""ConformanceService of connectrpc.com/conformance, as its docs/testing_servers.md asks for it.

Its messages are generated from the suite's own contracts when it runs (tests/conformance/__main__.py).
"""

import asyncio
import base64
import importlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.rpc import status_pb2

rpc: Any = importlib.import_module("connectrpc.conformance.v1.service_pb2_grpc")
service: Any = importlib.import_module("connectrpc.conformance.v1.service_pb2")

_CODES = {code.value[0]: code for code in grpc.StatusCode}
Metadata = tuple[tuple[str, str | bytes], ...]


class Conformance(rpc.ConformanceServiceServicer):  # type: ignore[misc]  # there are no types of it
    async def Unary(self, request: Any, context: Any) -> Any:
        return service.UnaryResponse(payload=await _one(request.response_definition, [request], context))

    async def IdempotentUnary(self, request: Any, context: Any) -> Any:
        return service.IdempotentUnaryResponse(payload=await _one(request.response_definition, [request], context))

    async def ClientStream(self, requests: AsyncIterator[Any], context: Any) -> Any:
        received = [request async for request in requests]
        definition = received[0].response_definition if received else service.UnaryResponseDefinition()
        return service.ClientStreamResponse(payload=await _one(definition, received, context))

    async def ServerStream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        definition = request.response_definition
        await _announce(definition, context)
        for number, data in enumerate(definition.response_data):
            await asyncio.sleep(definition.response_delay_ms / 1000)
            info = None if number else _info([request], context)
            yield service.ServerStreamResponse(payload=service.ConformancePayload(data=data, request_info=info))
        await _end(definition, [request], context)

    async def BidiStream(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        definition, received, sent = None, list[Any](), 0
        async for request in requests:
            received.append(request)
            if definition is None:
                definition, both_at_once = request.response_definition, request.full_duplex
                if both_at_once:
                    await _announce(definition, context)
            if both_at_once:
                if sent >= len(definition.response_data):
                    break
                await asyncio.sleep(definition.response_delay_ms / 1000)
                yield _answer(definition, sent, received, context)
                sent, received = sent + 1, []
        if definition is None:
            return
        if not both_at_once:
            await _announce(definition, context)
        for number in range(sent, len(definition.response_data)):
            await asyncio.sleep(definition.response_delay_ms / 1000)
            yield _answer(definition, number, [] if number else received, context)
        await _end(definition, received, context)


def _answer(definition: Any, number: int, received: Sequence[Any], context: Any) -> Any:
    """The first tells all of the call; the others, only the requests that came since."""
    if number == 0:
        info = _info(received, context)
    else:
        info = service.ConformancePayload.RequestInfo(requests=_packed(received)) if received else None
    payload = service.ConformancePayload(data=definition.response_data[number], request_info=info)
    return service.BidiStreamResponse(payload=payload)


async def _one(definition: Any, received: Sequence[Any], context: Any) -> Any:
    context.set_trailing_metadata(_metadata(definition.response_trailers))
    if definition.response_headers:
        await context.send_initial_metadata(_metadata(definition.response_headers))
    await asyncio.sleep(definition.response_delay_ms / 1000)
    info = _info(received, context)
    if definition.HasField("error"):
        await _abort(definition, [info], context)
    return service.ConformancePayload(data=definition.response_data, request_info=info)


async def _announce(definition: Any, context: Any) -> None:
    context.set_trailing_metadata(_metadata(definition.response_trailers))
    await context.send_initial_metadata(_metadata(definition.response_headers))


async def _end(definition: Any, received: Sequence[Any], context: Any) -> None:
    if definition.HasField("error"):
        await _abort(definition, [] if definition.response_data else [_info(received, context)], context)


async def _abort(definition: Any, told: Sequence[Any], context: Any) -> None:
    error = definition.error
    status = status_pb2.Status(code=error.code, message=error.message, details=[*error.details, *_packed(told)])
    details = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(_CODES[error.code], error.message, (*_metadata(definition.response_trailers), *details))


def _info(received: Sequence[Any], context: Any) -> Any:
    left = context.time_remaining()
    return service.ConformancePayload.RequestInfo(
        request_headers=_headers(context.invocation_metadata() or ()),
        timeout_ms=None if left is None else round(left * 1000),
        requests=_packed(received),
    )


def _headers(metadata: Iterable[tuple[str, str | bytes]]) -> list[Any]:
    values = defaultdict[str, list[str]](list)
    for name, value in metadata:
        values[name].append(_encoded(value) if isinstance(value, bytes) else value)
    return [service.Header(name=name, value=those) for name, those in values.items()]


def _packed(messages: Iterable[Any]) -> list[Packed]:
    packed = []
    for message in messages:
        packed.append(Packed())
        packed[-1].Pack(message)
    return packed


def _metadata(headers: Iterable[Any]) -> Metadata:
    return tuple(
        (header.name.lower(), _decoded(value) if header.name.lower().endswith("-bin") else value)
        for header in headers
        for value in header.value
    )


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode().rstrip("=")


def _decoded(value: str) -> bytes:
    return base64.b64decode(value + "=" * (-len(value) % 4))
