"""What the edge answers itself, in the shape in which the services answer: `google.rpc.Status`.

A REST caller gets it as JSON, a gRPC caller as `grpc-status-details-bin`.
"""

import base64
from collections.abc import Iterable
from typing import Any

from google.protobuf import json_format
from google.rpc import (
    error_details_pb2,  # noqa: F401 - MessageToDict finds the details by their names
    status_pb2,
)
from google.rpc.code_pb2 import Code
from mesh.v1.error_reason_pb2 import ErrorReason

import mesh
from mesh.error import Error

error = mesh.errors(ErrorReason)

CODES = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    405: Code.UNIMPLEMENTED,
    408: Code.DEADLINE_EXCEEDED,
    413: Code.INVALID_ARGUMENT,
    415: Code.INVALID_ARGUMENT,
    426: Code.INVALID_ARGUMENT,
    429: Code.RESOURCE_EXHAUSTED,
    431: Code.INVALID_ARGUMENT,
    500: Code.INTERNAL,
    502: Code.UNAVAILABLE,
    503: Code.UNAVAILABLE,
    504: Code.DEADLINE_EXCEEDED,
}
"""The code of each HTTP status that Envoy answers with, after google/rpc/code.proto."""

_REASONS = {
    404: (Code.UNIMPLEMENTED, ErrorReason.ERROR_REASON_NO_SUCH_METHOD),
    408: (Code.DEADLINE_EXCEEDED, ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED),
    413: (Code.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_TOO_LARGE),
    431: (Code.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_TOO_LARGE),
    502: (Code.UNAVAILABLE, ErrorReason.ERROR_REASON_UNREACHABLE),
    503: (Code.UNAVAILABLE, ErrorReason.ERROR_REASON_UNREACHABLE),
    504: (Code.DEADLINE_EXCEEDED, ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED),
}
"""What a status means, with the code that a gRPC caller gets; Envoy's own words would tell of addresses inside."""

_UNAUTHENTICATED = 401  # for Envoy a wrong audience is 403

READY_MADE = "json_body_refused"
"""Marks a reply that needs no more shaping."""

_GRPC = {"header_filter": {"header": {"name": "content-type", "string_match": {"prefix": "application/grpc"}}}}
# The transcoder makes gRPC of a REST request, and leaves its path in this header.
_WAS_REST = {"header_filter": {"header": {"name": "x-envoy-original-path", "present_match": True}}}
_NOT_GRPC = {
    "header_filter": {
        "header": _GRPC["header_filter"]["header"] | {"invert_match": True, "treat_missing_header_as_empty": True}
    }
}
_REST = {"or_filter": {"filters": [_WAS_REST, _NOT_GRPC]}}


def as_json(refusal: Error) -> dict[str, Any]:
    """The body of a REST reply."""
    body: dict[str, Any] = json_format.MessageToDict(refusal.status, always_print_fields_with_no_presence=True)
    return body


def local_reply_config() -> dict[str, Any]:
    """Envoy's mappers, of which the first that matches wins: refused tokens, then one for each status."""
    mappers = [_ready_made(), *_refused_tokens()]
    for status, (code, reason) in _REASONS.items():
        mappers += _with_reason(_of_status(status), status, code, error(reason))
    mappers += [_plain(status, code) for status, code in CODES.items() if status not in _REASONS]
    return {"mappers": mappers}


def _told(condition: str) -> dict[str, Any]:
    """A filter by what Envoy says of the response in its own words."""
    expression = {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        "expression": condition,
    }
    return {"extension_filter": {"name": "cel", "typed_config": expression}}


def _ready_made() -> dict[str, Any]:
    """What gateway/json_bodies.py answers is JSON already."""
    return {
        "filter": _told(f"response.code_details.contains('{READY_MADE}')"),
        "body_format_override": {
            "text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"},
            "content_type": "application/json",
        },
    }


def _refused_tokens() -> Iterable[dict[str, Any]]:
    """The JWT filter says why in the response code details."""
    for condition, reason in (
        ("response.code_details.contains('Jwt_is_expired')", ErrorReason.ERROR_REASON_TOKEN_EXPIRED),
        ("response.code_details.startsWith('jwt_authn_access_denied')", ErrorReason.ERROR_REASON_TOKEN_INVALID),
    ):
        yield from _with_reason(_told(condition), _UNAUTHENTICATED, Code.UNAUTHENTICATED, error(reason))


def _with_reason(matched: dict[str, Any], status: int, grpc_code: int, refusal: Error) -> Iterable[dict[str, Any]]:
    """The same for both callers: as JSON, and as a gRPC status of code `grpc_code` with its details."""
    yield {
        "filter": {"and_filter": {"filters": [matched, _REST]}},
        "status_code": status,
        "body_format_override": {"json_format": as_json(refusal)},
    }
    details = status_pb2.Status()
    details.CopyFrom(refusal.status)
    details.code = grpc_code
    yield {
        "filter": matched,
        "status_code": status,
        "body": {"inline_string": refusal.message},
        "headers_to_add": [
            _header("grpc-status", str(int(grpc_code))),
            _header("grpc-status-details-bin", base64.b64encode(details.SerializeToString()).decode().rstrip("=")),
        ],
    }


def _header(key: str, value: str) -> dict[str, Any]:
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _of_status(status: int) -> dict[str, Any]:
    compared = {"op": "EQ", "value": {"default_value": status, "runtime_key": f"edge.reply.{status}"}}
    return {"status_code_filter": {"comparison": compared}}


def _plain(status: int, code: int) -> dict[str, Any]:
    return {
        "filter": {"and_filter": {"filters": [_of_status(status), _REST]}},
        "body_format_override": {
            "json_format": {"code": int(code), "message": "%LOCAL_REPLY_BODY%", "details": []},
        },
    }
