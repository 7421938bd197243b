"""How long the work at hand may still take, in the task that does it."""

import time
from contextvars import ContextVar

_MARGIN_RATIO = 0.05
_MARGIN_SECONDS = 0.01
"""The least of the margin."""

deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
"""The `time.monotonic()` at which the call being served ends; None: no call is being served, or it has no end."""


def remaining() -> float | None:
    """The seconds that are left of the call being served, negative once it is over; None: no end is known."""
    end = deadline.get()
    return None if end is None else end - time.monotonic()


def remaining_to_call() -> float | None:
    """The seconds that a call made on behalf of the one being served may take.

    Less than remains by a margin, so that its failure can still be told in time. Not positive: too late to call.
    """
    left = remaining()
    return None if left is None else left - max(left * _MARGIN_RATIO, _MARGIN_SECONDS)
