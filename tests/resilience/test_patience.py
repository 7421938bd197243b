"""Waits that are bounded together, and end for the right reason."""

import asyncio
import time

import pytest

from mesh.resilience.patience import CrowdedError, Patience, TooLongError


def waits(patience: Patience, number: int) -> "list[asyncio.Task[bool]]":
    return [asyncio.create_task(patience.wait(asyncio.Event().wait())) for _ in range(number)]


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_comes_in_time_is_given() -> None:
    patience = Patience(10, 10)
    came = asyncio.Event()
    waiting = asyncio.create_task(patience.wait(came.wait()))
    await turn()
    assert len(patience) == 1
    came.set()
    assert await waiting
    assert len(patience) == 0


async def test_each_ends_after_its_own_time() -> None:
    patience = Patience(0.2, 10)
    started = time.monotonic()
    [early] = waits(patience, 1)
    await asyncio.wait([early], timeout=0.1)
    [late] = waits(patience, 1)
    with pytest.raises(TooLongError):
        await early
    assert time.monotonic() - started > 0.19
    with pytest.raises(TooLongError):
        await late
    assert 0.29 < time.monotonic() - started < 2
    assert len(patience) == 0
    with pytest.raises(TooLongError):  # and again after all have ended
        await patience.wait(asyncio.Event().wait())


async def test_of_too_many_the_oldest_gives_way() -> None:
    patience = Patience(10, 3)
    tasks = waits(patience, 5)
    await turn()
    assert [task.done() for task in tasks] == [True, True, False, False, False]
    for task in tasks[:2]:
        with pytest.raises(CrowdedError):
            await task
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(patience) == 0


async def test_less_patience_counts_what_has_passed() -> None:
    patience = Patience(60, 10)
    tasks = waits(patience, 3)
    await turn()
    patience.shorten(0.05)
    done, _ = await asyncio.wait(tasks, timeout=5)
    assert len(done) == 3
    assert all(isinstance(task.exception(), TooLongError) for task in tasks)


async def test_a_cancellation_stays_one() -> None:
    patience = Patience(10, 1)
    [cancelled] = waits(patience, 1)
    await turn()
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled

    [both] = waits(patience, 1)
    await turn()
    [newer] = waits(patience, 1)
    await asyncio.sleep(0)
    both.cancel()  # by others too, in the moment in which it gives way
    with pytest.raises((asyncio.CancelledError, CrowdedError)):
        await both
    newer.cancel()
    await asyncio.wait([newer])
    assert len(patience) == 0


async def test_who_was_ended_is_a_task_like_any_other_afterwards() -> None:
    patience = Patience(0.05, 10)

    async def work() -> str:
        with pytest.raises(TooLongError):
            await patience.wait(asyncio.Event().wait())
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        return "well"

    assert await asyncio.create_task(work()) == "well"
