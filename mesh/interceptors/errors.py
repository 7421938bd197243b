"""Turns what a handler raises into the reply that the contract promises."""

import uuid
from typing import Any

import grpc

import mesh
from mesh.error import Error
from mesh.interceptors.chain import Handler, Rpc
from mesh.telemetry import logger
from mesh.v1.error_reason_pb2 import ErrorReason

log = logger(__name__)
error = mesh.errors(ErrorReason)


class Errors:
    """Sends `mesh.Error` with its details; anything else is a defect, told to the log alone, under an id."""

    def wrap(self, rpc: Rpc, proceed: Handler) -> Handler:
        async def handle(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            try:
                return await proceed(request, context)
            except Error as refusal:
                return await _abort(context, refusal)
            except grpc.aio.AbortError:
                raise  # the handler ended the call itself
            except NotImplementedError:
                # The generated servicers raise it beside UNIMPLEMENTED; as INTERNAL it would be a lie.
                return await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{rpc.path} is not implemented")
            except Exception:
                error_id = uuid.uuid4().hex
                log.exception("defect", method=rpc.path, error_id=error_id)
                return await _abort(context, error(ErrorReason.ERROR_REASON_INTERNAL, error_id=error_id))

        return handle


async def _abort(context: grpc.aio.ServicerContext[Any, Any], refusal: Error) -> None:
    """Adds the details to what the handler had set as trailers itself; nothing is sent ahead of the trailers."""
    trailers = tuple(context.trailing_metadata() or ()) + refusal.trailing_metadata()
    await context.abort(refusal.code, refusal.message, trailers)
