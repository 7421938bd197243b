"""Checks JSON bodies against the contract before Envoy's transcoder, which passes over fields it does not know.

Envoy asks by ext_proc, for requests with a JSON body only. A misspelt field is an error that names it, not a value
that is silently lost.
"""

import json
import re
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc
from envoy.type.v3 import http_status_pb2
from google.api import annotations_pb2
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from mesh.v1.error_reason_pb2 import ErrorReason

import mesh
from gateway.contracts import services
from gateway.replies import READY_MADE, as_json
from mesh.error import Error

PATH = "request.url_path"
"""The attribute that names the method: when the body has come, the transcoder has made a gRPC path of the REST one."""
_UNKNOWN_FIELD = re.compile(r'has no field named "(?P<name>[^"]+)"(?: at "[^".]+(?:\.(?P<path>[^"]+))?")?')

error = mesh.errors(ErrorReason)


@cache
def body_of(path: str) -> Descriptor | None:
    """The message that the body of `/package.Service/Method` is over REST; None: no JSON body of ours."""
    service, _, name = path.removeprefix("/").partition("/")
    if service not in services():
        return None
    method: MethodDescriptor | None = descriptor_pool.Default().FindServiceByName(service).methods_by_name.get(name)
    if method is None:
        return None
    field = method.GetOptions().Extensions[annotations_pb2.http].body
    return method.input_type if field == "*" else None


def check(path: str, body: bytes) -> Error | None:
    """What is wrong with the JSON body of a call; None: nothing, or it is no business of this check."""
    message = body_of(path)
    if message is None:
        return None
    try:
        json_format.Parse(body or b"{}", message_factory.GetMessageClass(message)())
    except (json_format.ParseError, UnicodeDecodeError) as problem:
        return _refusal(str(problem))
    if body and not body.lstrip().startswith(b"{"):
        return _refusal("it is not a JSON object")  # to the parser an empty list is as good as an empty object
    return None


def _refusal(problem: str) -> Error:
    unknown = _UNKNOWN_FIELD.search(problem)
    if unknown is None:
        return error(ErrorReason.ERROR_REASON_BODY_INVALID, problem=problem.removeprefix("Failed to load JSON: "))
    path = ".".join(filter(None, (unknown["path"], unknown["name"])))
    return error(
        ErrorReason.ERROR_REASON_BODY_INVALID, problem=f"unknown field {path}", fields={path: "there is no such field"}
    )


class JsonBodies(external_processor_pb2_grpc.ExternalProcessorServicer):  # type: ignore[misc]  # without types
    async def Process(self, request_iterator: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in request_iterator:
            attributes = request.attributes["envoy.filters.http.ext_proc"].fields
            refusal = check(attributes[PATH].string_value, request.request_body.body)
            if refusal is None:
                yield ext_proc.ProcessingResponse(request_body=ext_proc.BodyResponse())
                continue
            reply = ext_proc.ImmediateResponse(
                status=http_status_pb2.HttpStatus(code=400),
                body=json.dumps(as_json(refusal)).encode(),
                details=READY_MADE,
            )
            yield ext_proc.ProcessingResponse(immediate_response=reply)
