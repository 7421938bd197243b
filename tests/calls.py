"""Calls of services, as tests look at them."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from mesh.error import Described, from_rpc_error


async def refused(call: Awaitable[Any]) -> Described:
    """Why the call was refused."""
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call
    return from_rpc_error(failure.value)


async def all_rows(ask: Callable[[str], Awaitable[Any]], rows: str) -> list[Any]:
    """The rows of all pages; `ask` takes a page token."""
    found: list[Any] = []
    token = ""
    while True:
        page = await ask(token)
        found += getattr(page, rows)
        token = page.next_page_token
        if not token:
            return found
