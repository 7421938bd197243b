"""What the edge answers itself, in the shape in which the services answer: `google.rpc.Status`.

A REST caller gets it as JSON, a gRPC caller as `grpc-status-details-bin`.
"""

import base64
from collections.abc import Iterable
from typing import Any

from google.protobuf import json_format
from google.rpc import error_details_pb2  # noqa: F401 - MessageToDict finds the details by their names
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
    return {"mappers": [_ready_made(), *_refused_tokens(), *(_plain(status, code) for status, code in CODES.items())]}


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
        refusal = error(reason)
        told = _told(condition)
        yield {
            "filter": {"and_filter": {"filters": [told, _REST]}},
            "status_code": _UNAUTHENTICATED,
            "body_format_override": {"json_format": as_json(refusal)},
        }
        details = base64.b64encode(refusal.status.SerializeToString()).decode().rstrip("=")
        yield {
            "filter": told,
            "status_code": _UNAUTHENTICATED,
            "body": {"inline_string": refusal.message},
            "headers_to_add": [
                {
                    "header": {"key": "grpc-status-details-bin", "value": details},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                }
            ],
        }


def _plain(status: int, code: int) -> dict[str, Any]:
    compared = {"op": "EQ", "value": {"default_value": status, "runtime_key": f"edge.reply.{status}"}}
    return {
        "filter": {"and_filter": {"filters": [{"status_code_filter": {"comparison": compared}}, _REST]}},
        "body_format_override": {
            "json_format": {"code": int(code), "message": "%LOCAL_REPLY_BODY%", "details": []},
        },
    }
