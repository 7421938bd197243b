"""The call being served, as its log lines and its traces name it."""

import random
import re
from contextvars import ContextVar

from mesh import callers

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]{0,200})?")
_LONGEST_REQUEST_ID = 128


class Call:
    """What is served in this task. Ids that nobody brought are made when they are first asked for."""

    __slots__ = ("_traceparent", "method", "recorded")

    def __init__(self, method: str, traceparent: str | None) -> None:
        self.method = method
        """`/package.Service/Method`, or what a job or a message is called."""
        self.recorded = False
        """Whether it has a span, which `traceparent` then names."""
        self._traceparent = traceparent

    @property
    def traceparent(self) -> str:
        """W3C trace context for what is done on behalf of this call; a made up one says that nothing is recorded."""
        if self._traceparent is None:
            ids = _hexadecimal(48)
            self._traceparent = f"00-{ids[:32]}-{ids[32:]}-00"
        return self._traceparent

    def record(self, traceparent: str) -> None:
        """Has it go on under a span of its own."""
        self._traceparent = traceparent
        self.recorded = True

    @property
    def trace_id(self) -> str:
        return self.traceparent[3:35]


current: ContextVar[Call | None] = ContextVar("call", default=None)


def well_formed(traceparent: str) -> bool:
    """Whether it is W3C trace context; one that isn't is as good as none."""
    return _TRACEPARENT.fullmatch(traceparent) is not None


def sampled(traceparent: str) -> bool:
    """Whether the caller records this trace. `traceparent` has to be well-formed."""
    return int(traceparent[53:55], 16) & 1 == 1


def keep_request_id(value: str) -> None:
    """Makes the caller's request id that of this task; one that is no plain text, or too long for a log, is none."""
    if 0 < len(value) <= _LONGEST_REQUEST_ID and value.isascii() and value.isprintable():
        callers.request_id.set(value)


def request_id() -> str:
    """The request id of this task, made now if nobody brought one."""
    known = callers.request_id.get()
    if known is None:
        known = _hexadecimal(32)
        callers.request_id.set(known)
    return known


def _hexadecimal(digits: int) -> str:
    """A name that nobody else has made up, and no secret."""
    return f"{random.getrandbits(4 * digits):0{digits}x}"
