"""Errors as the contract has them: each reason of an `ErrorReason` enum says its status code and its message.

The shape on the wire is `google.rpc.Status` with ErrorInfo, and with BadRequest and RetryInfo where they help
(AIP-193).
"""

import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

from mesh.contract import CODES
from mesh.v1 import options_pb2

_PREFIX = "ERROR_REASON_"
_DETAILS_KEY = "grpc-status-details-bin"


class Error(Exception):
    """A refusal or a failure that the contract knows; raised by a service, sent by the errors interceptor."""

    def __init__(self, status: status_pb2.Status, reason: str) -> None:
        super().__init__(status.message)
        self.status = status
        self.reason = reason

    @property
    def code(self) -> grpc.StatusCode:
        return CODES[self.status.code]

    @property
    def message(self) -> str:
        return str(self.status.message)

    @property
    def metadata(self) -> dict[str, str]:
        """The variables of the ErrorInfo."""
        return described(self.status).metadata

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return ((_DETAILS_KEY, self.status.SerializeToString()),)


class _Enum(Protocol):
    DESCRIPTOR: EnumDescriptor


class ErrorFactory(Protocol):
    def __call__(
        self,
        reason: int,
        /,
        *,
        fields: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        retry_after: float | None = None,
        code: grpc.StatusCode | None = None,
        **variables: object,
    ) -> Error: ...


def errors(reasons: _Enum) -> ErrorFactory:
    """A factory of the errors of one `ErrorReason` enum.

        error = mesh.errors(ErrorReason)
        raise error(ErrorReason.ERROR_REASON_SALE_NOT_FOUND, sale_id=sale_id)

    `fields` names wrong fields of the request with what is wrong (BadRequest); `retry_after` is in seconds
    (RetryInfo); `code` stands in for the contract's where that is only a default. Raises KeyError if a variable of the
    reason's message is missing.
    """
    contracts = {value.number: value for value in reasons.DESCRIPTOR.values}
    domain = reasons.DESCRIPTOR.file.package

    def error(
        reason: int,
        /,
        *,
        fields: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        retry_after: float | None = None,
        code: grpc.StatusCode | None = None,
        **variables: object,
    ) -> Error:
        value = contracts[reason]
        contract = value.GetOptions().Extensions[options_pb2.error]
        name = value.name.removeprefix(_PREFIX)
        texts = {key: str(variable) for key, variable in variables.items()}
        number = contract.code if code is None else code.value[0]
        status = status_pb2.Status(code=number, message=string.Formatter().vformat(contract.message, (), texts))
        status.details.add().Pack(error_details_pb2.ErrorInfo(reason=name, domain=domain, metadata=texts))
        if violations := list(fields.items() if isinstance(fields, Mapping) else fields):
            status.details.add().Pack(
                error_details_pb2.BadRequest(
                    field_violations=[
                        error_details_pb2.BadRequest.FieldViolation(field=path, description=problem)
                        for path, problem in violations
                    ]
                )
            )
        if retry_after is not None:
            wait = error_details_pb2.RetryInfo()
            wait.retry_delay.FromNanoseconds(int(retry_after * 1e9))
            status.details.add().Pack(wait)
        return Error(status, name)

    return error


@dataclass(frozen=True)
class Described:
    """What the details of a status say."""

    code: str
    """The canonical name, for example `NOT_FOUND`."""
    message: str
    reason: str = ""
    domain: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    fields: list[tuple[str, str]] = field(default_factory=list)
    retry_after: float | None = None
    """Seconds."""


def described(status: status_pb2.Status) -> Described:
    """Reads the standard details of a status."""
    found: dict[str, Any] = {}
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    readers: list[tuple[Any, Callable[[], dict[str, Any]]]] = [
        (info, lambda: {"reason": info.reason, "domain": info.domain, "metadata": dict(info.metadata)}),
        (bad, lambda: {"fields": [(v.field, v.description) for v in bad.field_violations]}),
        (retry, lambda: {"retry_after": retry.retry_delay.ToNanoseconds() / 1e9}),
    ]
    for detail in status.details:
        for message, read in readers:
            if detail.Unpack(message):
                found |= read()
    return Described(code=code_pb2.Code.Name(status.code), message=status.message, **found)


def from_rpc_error(failure: grpc.RpcError) -> Described:
    """What a failed call says: its details where it has them, else its bare code and message."""
    code, message = failure.code(), failure.details() or ""
    trailers: Iterable[tuple[str, str | bytes]] = failure.trailing_metadata() or ()  # type: ignore[assignment]
    for key, value in trailers:
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return described(status_pb2.Status.FromString(value))
            except (DecodeError, ValueError):
                break  # a foreign server's, perhaps with a code that is none; the bare status still stands
    return Described(code=code.name, message=message)
