"""What all users in a process share."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """One resource for each key, made for its first user and closed after its last."""

    def __init__(self, make: Callable[[str], AbstractAsyncContextManager[T]]) -> None:
        self._make = make
        self._uses: dict[tuple[str, asyncio.AbstractEventLoop], _Use[T]] = {}

    @contextlib.asynccontextmanager
    async def used(self, key: str) -> AsyncIterator[T]:
        """Raises what making it raises; the next user tries again."""
        place = (key, asyncio.get_running_loop())
        use = self._uses.setdefault(place, _Use())
        use.users += 1  # before it waits for anything, so that who leaves meanwhile closes nothing
        try:
            async with use.lock:
                if not use.made:
                    use.value = await use.stack.enter_async_context(self._make(key))
                    use.made = True
            yield use.value
        finally:
            use.users -= 1
            if use.users == 0:
                try:
                    await use.close()
                finally:
                    if use.users == 0 and self._uses.get(place) is use:
                        del self._uses[place]


class _Use(Generic[T]):
    value: T

    def __init__(self) -> None:
        self.users = 0
        """Those who have it or wait for it."""
        self.made = False
        self.lock = asyncio.Lock()
        self.stack = AsyncExitStack()

    async def close(self) -> None:
        """Unless there is a user by now."""
        async with self.lock:
            if self.users == 0:
                self.made = False
                await self.stack.aclose()
