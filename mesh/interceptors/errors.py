"""Turns what a handler raises into the reply that the contract promises."""

import asyncio
import uuid
from typing import Any

import grpc

import mesh
from mesh.error import Error
from mesh.interceptors.chain import Context, Handler, Rpc, settled
from mesh.telemetry import logger
from mesh.v1.error_reason_pb2 import ErrorReason

log = logger(__name__)
error = mesh.errors(ErrorReason)


class Errors:
    """Sends `mesh.Error` with its details; anything else is a defect, told to the log alone, under an id.

    What the handler said itself stands: a status it aborted with, a code it set before it raised, its trailers.
    """

    def wrap(self, rpc: Rpc, proceed: Handler) -> Handler:
        async def handle(request: Any, context: Context) -> Any:
            try:
                return await proceed(request, context)
            except Error as refusal:
                return await _abort(context, refusal)
            except grpc.aio.AbortError:
                raise  # the handler ended the call itself
            except NotImplementedError:
                # The generated servicers raise it beside UNIMPLEMENTED; as INTERNAL it would be a lie.
                details = context.details() or f"{rpc.path} is not implemented"
                return await _end(context, grpc.StatusCode.UNIMPLEMENTED, details, context.trailing_metadata())
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # Nobody cancelled the call, only something it waited for; grpc.aio would leave the caller waiting.
                return await _defect(rpc, context)
            except grpc.aio.InternalError:
                await settled()  # the caller has gone, in all likelihood: then this ends here
                return await _defect(rpc, context)
            except Exception:
                return await _defect(rpc, context)

        return handle


async def _defect(rpc: Rpc, context: Context) -> None:
    error_id = uuid.uuid4().hex
    log.exception("defect", method=rpc.path, error_id=error_id)
    defect = error(ErrorReason.ERROR_REASON_INTERNAL, error_id=error_id)
    code = context.code()
    if code and code is not grpc.StatusCode.OK:
        await _end(context, code, context.details() or defect.message, context.trailing_metadata())
    await _abort(context, defect)


async def _abort(context: Context, refusal: Error) -> None:
    """Adds the details to what the handler had set as trailers itself; nothing is sent ahead of the trailers."""
    trailers = tuple(context.trailing_metadata() or ()) + refusal.trailing_metadata()
    await _end(context, refusal.code, refusal.message, trailers)


async def _end(context: Context, code: Any, details: Any, trailers: Any) -> None:
    await context.abort(code, details, tuple(trailers or ()))
