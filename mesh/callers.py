"""Who calls, in the task that serves the call."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Caller:
    """A user or a program that brought a valid token."""

    subject: str
    permissions: frozenset[str]
    claims: Mapping[str, Any]
    token: str
    """As it came, so that calls made on the caller's behalf carry it on."""

    def __repr__(self) -> str:  # the token must not reach a log
        return f"Caller({self.subject!r})"


current: ContextVar[Caller | None] = ContextVar("caller", default=None)

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The `x-request-id` of the call being served; calls made on its behalf carry it on."""
peer: ContextVar[str] = ContextVar("peer", default="")
"""The service whose process calls, as its certificate says; empty where none was shown."""


def caller() -> Caller | None:
    """Who calls; None in a public method, which looks at no token."""
    return current.get()
