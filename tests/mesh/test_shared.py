"""What all users in a process share is there once, whoever comes, fails or leaves meanwhile."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from hypothesis import given
from hypothesis import strategies as st

from mesh.shared import Shared


class MakingError(Exception):
    pass


@given(users=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8), st.booleans()), max_size=8), seed=st.integers())
def test_there_is_one_at_a_time_and_none_is_left(users: list[tuple[int, int, bool]], seed: int) -> None:
    """A user comes after so many turns of the loop, stays for so many, and may be cancelled at any of them."""
    chance = random.Random(seed)
    open_now = 0

    @asynccontextmanager
    async def make(_: str) -> AsyncIterator[object]:
        nonlocal open_now
        await turns(chance.randrange(3))
        if chance.random() < 0.2:
            raise MakingError
        open_now += 1
        assert open_now == 1
        made = object()
        in_use.append(made)
        try:
            yield made
        finally:
            try:
                await turns(chance.randrange(3))
            finally:
                in_use.remove(made)
                open_now -= 1

    in_use: list[object] = []
    shared = Shared(make)

    async def turns(number: int) -> None:
        for _ in range(number):
            await asyncio.sleep(0)

    async def use(coming: int, staying: int) -> None:
        await turns(coming)
        with suppress(MakingError):
            async with shared.used("key") as value:
                for _ in range(staying):
                    assert in_use == [value]
                    await asyncio.sleep(0)

    async def cancelled(task: "asyncio.Task[None]", after: int) -> None:
        await turns(after)
        task.cancel()

    async def main() -> None:
        tasks = [asyncio.create_task(use(coming, staying)) for coming, staying, _ in users]
        cancels = [
            cancelled(task, chance.randrange(12)) for task, (_, _, cancel) in zip(tasks, users, strict=True) if cancel
        ]
        ended = await asyncio.gather(*tasks, *cancels, return_exceptions=True)
        assert not [each for each in ended if isinstance(each, Exception)]
        assert not shared._uses

    asyncio.run(main())
    assert open_now == 0
