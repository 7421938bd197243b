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
    501: Code.UNIMPLEMENTED,
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

_UNIMPLEMENTED = {404: "There is no such method", 501: "The compression of the messages is unknown"}
_UNAUTHENTICATED = 401  # for Envoy a wrong audience is 403

READY_MADE = "json_body_refused"
"""Marks a reply that needs no more shaping."""


def _told_by(header: str, **match: Any) -> dict[str, Any]:
    return {"header_filter": {"header": {"name": header, **match}}}


_OF_GRPC = {"string_match": {"prefix": "application/grpc"}}
_GRPC = _told_by("content-type", **_OF_GRPC)
# The transcoder makes gRPC of a REST request, and leaves its path in this header.
_WAS_REST = _told_by("x-envoy-original-path", present_match=True)
_NOT_GRPC = _told_by("content-type", **_OF_GRPC, invert_match=True, treat_missing_header_as_empty=True)
_REST = {"or_filter": {"filters": [_WAS_REST, _NOT_GRPC]}}


def as_json(refusal: Error) -> dict[str, Any]:
    """The body of a REST reply."""
    body: dict[str, Any] = json_format.MessageToDict(refusal.status, always_print_fields_with_no_presence=True)
    return body


def local_reply_config(methods: Iterable[str]) -> dict[str, Any]:
    """Envoy's mappers, of which the first that matches wins: refused tokens, then one for each status.

    `methods` are those that are called by gRPC, as `package.Service.Method`.
    """
    mappers = [_ready_made(), *_refused_tokens(), _not_grpc(methods)]
    for status, (code, reason) in _REASONS.items():
        to_rest, to_grpc = _with_reason(_of_status(status), status, code, error(reason))
        mappers += [to_rest] if status in _UNIMPLEMENTED else [to_rest, to_grpc]
    mappers += [_plain(status, code) for status, code in CODES.items() if status not in _REASONS]
    # What a gRPC server does not have it says by the code alone.
    mappers += [_to_grpc(_of_status(status), Code.UNIMPLEMENTED, message) for status, message in _UNIMPLEMENTED.items()]
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


def _not_grpc(methods: Iterable[str]) -> dict[str, Any]:
    """A body for a gRPC method that is not gRPC: the transcoder knows no such method, gRPC's protocol asks for 415."""
    paths = ["/{}/{}".format(*method.rsplit(".", 1)) for method in methods]
    known = {"or_filter": {"filters": [_told_by(":path", string_match={"exact": path}) for path in paths]}}
    filters = [_of_status(404), _NOT_GRPC, known, _told_by("content-type", present_match=True)]
    told = {"inline_string": "This method is called by gRPC or gRPC-web\n"}
    return {
        "filter": {"and_filter": {"filters": filters}},
        "status_code": 415,
        "body_format_override": {"text_format_source": told, "content_type": "text/plain"},
    }


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
    packed = base64.b64encode(details.SerializeToString()).decode().rstrip("=")
    yield _to_grpc(matched, grpc_code, refusal.message, _header("grpc-status-details-bin", packed))


def _to_grpc(matched: dict[str, Any], code: int, message: str, *more: dict[str, Any]) -> dict[str, Any]:
    """Headers alone: of a body, or of another HTTP status, Envoy's gRPC-web filter would make a status of its own."""
    headers = [_header("grpc-status", str(int(code))), _header("grpc-message", message), *more]
    return {"filter": matched, "status_code": 200, "body": {"inline_string": ""}, "headers_to_add": headers}


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
