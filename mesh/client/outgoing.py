"""What a call brings with it: how long it may take, who it speaks for, what it belongs to."""

from collections.abc import Callable, Iterable, Iterator

import grpc

from mesh import callers
from mesh.resilience.deadline import remaining_to_call
from mesh.telemetry import tracing

Pair = tuple[str, str | bytes]


class Headers(grpc.aio.Metadata):
    """Metadata that nobody changes: grpc.aio takes it as it is, without the dictionary and the copies of the other."""

    def __init__(self, pairs: tuple[Pair, ...]) -> None:
        self._pairs = pairs

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)


def carried_on() -> str | None:
    """The token of the call being served."""
    caller = callers.current.get()
    return None if caller is None else caller.token


def headers(given: Iterable[Pair] | None, token: Callable[[], str | None]) -> Headers | None:
    """What the caller gives, and the token, the request id and the trace where it gives none.

    The one place where a call gets headers, but for the trace of one that is recorded (`tracing.outgoing`).
    """
    pairs = [] if given is None else list(given)
    own = {key for key, _ in pairs} if pairs else ()
    if "authorization" not in own and (bearer := token()):
        pairs.append(("authorization", f"Bearer {bearer}"))
    if "x-request-id" not in own and (request_id := callers.request_id.get()):
        pairs.append(("x-request-id", request_id))
    if "traceparent" not in own and (traceparent := tracing.unrecorded()):
        pairs.append(("traceparent", traceparent))
    return Headers(tuple(pairs)) if pairs else None


def seconds(given: float | None, default: float | None) -> float | None:
    """How long the call may take: what the caller gives or else the contract, and no longer than the call being
    served has left.

    Not positive: too late to call.
    """
    own = default if given is None else given
    left = remaining_to_call()
    return own if left is None or (own is not None and own < left) else left
