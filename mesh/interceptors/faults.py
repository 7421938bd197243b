"""Failures on purpose, as the live settings name them."""

import asyncio
import random
from collections.abc import Awaitable
from typing import Any

import grpc
from prometheus_client import Counter

import mesh
from mesh import callers
from mesh.interceptors.chain import Context, Handler, Rpc, metadata
from mesh.live.settings import Fault, Live
from mesh.v1.error_reason_pb2 import ErrorReason

error = mesh.errors(ErrorReason)
_INJECTED = Counter("mesh_faults_injected", "Calls that a fault has struck.", ["fault"])


class Faults:
    """Delays or ends the calls that a fault matches. Innermost, so that no fault opens a way around a check."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def wrap(self, rpc: Rpc, proceed: Handler) -> Handler:
        if rpc.path.startswith("/grpc."):  # health and reflection tell how the instance really is
            return proceed
        live = self._live
        method = rpc.path.rpartition("/")[2]

        def handle(request: Any, context: Context) -> Awaitable[Any]:
            return struck(request, context) if live.current.faults else proceed(request, context)

        async def struck(request: Any, context: Context) -> Any:
            for name, fault in live.current.faults.items():
                if _matches(fault, method, context):
                    await _strike(name, fault)
            return await proceed(request, context)

        return handle


def _matches(fault: Fault, method: str, context: Context) -> bool:
    if fault.methods and method not in fault.methods:
        return False
    if fault.callers and callers.peer.get() not in fault.callers:
        return False
    if fault.headers and not fault.headers.items() <= set(metadata(context)):
        return False
    return random.random() * 100 < fault.percentage  # noqa: S311 - chance, no secret


async def _strike(name: str, fault: Fault) -> None:
    _INJECTED.labels(name).inc()
    await asyncio.sleep(fault.delay_seconds)
    if fault.abort is not None:
        raise error(ErrorReason.ERROR_REASON_FAULT_INJECTED, code=grpc.StatusCode[fault.abort], fault=name)
