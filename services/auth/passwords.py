"""Passwords as bcrypt hashes, made and checked beside the event loop."""

import asyncio
import base64
import hmac
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import bcrypt

WAITING_PER_THREAD = 32
"""What a thread hashes, at the default cost, within the deadline of a login. Who comes behind would wait in vain."""

T = TypeVar("T")


class PasswordsBusyError(Exception):
    """More passwords wait to be hashed than could be in good time."""


class Passwords:
    def __init__(self, threads: ThreadPoolExecutor, *, thread_count: int, cost: int) -> None:
        self._threads = threads
        self._most_waiting = thread_count * WAITING_PER_THREAD
        self._waiting = 0
        self._cost = cost
        # Of nobody's password, and as costly to check as anybody's.
        self._nobody = (bcrypt.gensalt(cost) + b"." * 31).decode()

    async def hash(self, password: str) -> str:
        """Raises PasswordsBusyError."""
        return (await self._beside(lambda: bcrypt.hashpw(_digest(password), bcrypt.gensalt(self._cost)))).decode()

    async def matches(self, password: str, hashed: str | None) -> bool:
        """False for None, the hash of an unknown user, and after the same time. Raises PasswordsBusyError."""
        expected = (hashed or self._nobody).encode()
        return await self._beside(lambda: bcrypt.checkpw(_digest(password), expected)) and hashed is not None

    def outdated(self, hashed: str) -> bool:
        """Whether it was made at another cost than hashes are made now."""
        return int(hashed.split("$")[2]) != self._cost

    async def _beside(self, work: Callable[[], T]) -> T:
        """Runs it on a thread; bcrypt lets go of the interpreter meanwhile. A cancelled call leaves the queue."""
        if self._waiting >= self._most_waiting:
            raise PasswordsBusyError
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _digest(password: str) -> bytes:
    """What bcrypt gets: it looks at no more than 72 bytes and at none behind a NUL, so a password is hashed first.

    In base64, since a digest may hold a NUL as well. With a key of our own, so that it is not the plain SHA-256 that
    another site may have leaked, which could be tried here without knowing its password. In normal form C, so that a
    password is the same from any keyboard (RFC 8265, 4.2.2).
    """
    said = unicodedata.normalize("NFC", password).encode()
    return base64.b64encode(hmac.digest(b"retail.auth.v1", said, "sha256"))
