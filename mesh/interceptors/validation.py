"""The input rules of the contract (protovalidate)."""

from collections.abc import Awaitable, Sequence
from typing import Any

import grpc
import protovalidate

import mesh
from mesh.interceptors.chain import Context, Handler, Messages, Rpc
from mesh.v1.error_reason_pb2 import ErrorReason

_FIELDS_NAMED = 20  # an error travels in the trailers, which hold 8 KiB; with more it would reach nobody

_violations = protovalidate.Validator().collect_violations

error = mesh.errors(ErrorReason)


class Validation:
    """Refuses a request that breaks a rule; each message of a stream is checked as it is read."""

    def wrap(self, rpc: Rpc, proceed: Handler) -> Handler:
        if rpc.policy is None:
            return proceed

        def handle(request: Any, context: Context) -> Awaitable[Any]:
            if violations := _violations(request):
                raise _refusal(violations)
            return proceed(request, context)

        def handle_stream(messages: Messages, context: Context) -> Awaitable[Any]:
            return proceed(_Checked(messages), context)

        return handle_stream if rpc.client_streaming else handle


def check(request: Any) -> None:
    """Raises INVALID_REQUEST with the fields that break a rule, or the first of them."""
    if violations := _violations(request):
        raise _refusal(violations)


def _refusal(violations: Sequence[protovalidate.Violation]) -> mesh.Error:
    fields = [(_path(each.proto.field), each.proto.message) for each in violations[:_FIELDS_NAMED]]
    return error(ErrorReason.ERROR_REASON_INVALID_REQUEST, fields=fields)


class _Checked(Messages):
    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    async def read(self) -> Any:
        message = await self._messages.read()
        if message is not grpc.aio.EOF:
            check(message)
        return message


def _path(field: Any) -> str:
    """`sale.lines[0].quantity`, as AIP-193 wants it."""
    parts: list[str] = []
    for element in field.elements if field is not None else ():
        subscript = getattr(element, "subscript", None)
        parts.append(element.field_name + (f"[{subscript.value}]" if subscript is not None else ""))
    return ".".join(parts)
