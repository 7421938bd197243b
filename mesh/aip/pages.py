"""Pages of a list method (AIP-158): https://google.aip.dev/158.

A page token holds the cursor, that is the sort key of the last row that was returned, and a digest of the query that
it belongs to. It is no secret and no proof: whoever writes one himself chooses where a page of his own query begins.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.message import Message

from mesh.error import Error, errors
from mesh.v1 import error_reason_pb2

_DIGEST_BYTES = 12
_NOT_THE_QUERY = ("page_size", "page_token")

error = errors(error_reason_pb2.ErrorReason)


def page_size(requested: int, *, default: int, maximum: int) -> int:
    """How many rows a page has. `requested` is not negative, by contract; 0 asks for the default."""
    return min(requested or default, maximum)


def page_token(request: Message, cursor: Sequence[str | int]) -> str:
    """The token with which this query goes on behind the cursor."""
    packed = json.dumps(list(cursor), separators=(",", ":"), ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(_digest(request) + packed).rstrip(b"=").decode()


def read_page_token(request: Message, *readers: Callable[[Any], Any]) -> list[Any] | None:
    """The cursor in the request's `page_token`; None if the request has none.

    `readers` turn the values of the cursor back into what they were, one for each, for example
    `datetime.fromisoformat` and `UUID`; without any the values are as they came, str or int.
    Raises PAGE_TOKEN_INVALID if this method did not make the token for this query.
    """
    token: str = request.page_token  # type: ignore[attr-defined]
    if not token:
        return None
    try:
        content = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        digest, packed = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        cursor = json.loads(packed)
    except (ValueError, RecursionError):
        raise _invalid() from None
    if digest != _digest(request) or not _is_cursor(cursor) or (readers and len(readers) != len(cursor)):
        raise _invalid()
    try:
        return [read(value) for read, value in zip(readers, cursor, strict=True)] if readers else list(cursor)
    except (ValueError, ArithmeticError, TypeError, AttributeError):
        raise _invalid() from None


def _digest(request: Message) -> bytes:
    query = type(request)()
    query.CopyFrom(request)
    for name in _NOT_THE_QUERY:
        query.ClearField(name)
    named = request.DESCRIPTOR.full_name.encode() + b"\0" + query.SerializeToString(deterministic=True)
    return hashlib.sha256(named).digest()[:_DIGEST_BYTES]


def _is_cursor(value: object) -> bool:
    return isinstance(value, list) and all(
        type(part) is int or (type(part) is str and "\0" not in part) for part in value
    )


def _invalid() -> Error:
    return error(
        error_reason_pb2.ERROR_REASON_PAGE_TOKEN_INVALID,
        fields={"page_token": "must come from the previous answer to this query"},
    )
