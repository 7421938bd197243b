"""Hashing passwords."""

import asyncio
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.auth.passwords import WAITING_PER_THREAD, Passwords, PasswordsBusyError


@pytest.fixture(scope="module")
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


@pytest.fixture(scope="module")
def passwords(threads: ThreadPoolExecutor) -> Passwords:
    return Passwords(threads, thread_count=1, cost=4)


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=200)


@given(password=TEXT, other=TEXT)
@settings(max_examples=50, deadline=None)
def test_a_password_matches_its_own_hash_alone(passwords: Passwords, password: str, other: str) -> None:
    async def check() -> None:
        hashed = await passwords.hash(password)
        assert await passwords.matches(password, hashed)
        same = unicodedata.normalize("NFC", password) == unicodedata.normalize("NFC", other)
        assert await passwords.matches(other, hashed) == same

    asyncio.run(check())


@pytest.mark.parametrize(
    ("password", "other"),
    [
        ("x" * 72 + "a", "x" * 72 + "b"),  # bcrypt itself reads 72 bytes
        ("before\0behind", "before\0other"),  # and none behind a NUL
        ("pass", "PASS"),
        ("pass", "pass "),
    ],
)
async def test_every_byte_of_a_password_counts(passwords: Passwords, password: str, other: str) -> None:
    hashed = await passwords.hash(password)
    assert await passwords.matches(password, hashed)
    assert not await passwords.matches(other, hashed)


async def test_a_password_is_the_same_from_any_keyboard(passwords: Passwords) -> None:
    composed, combining = "caf\u00e9", "cafe\u0301"
    assert await passwords.matches(combining, await passwords.hash(composed))


async def test_nobody_has_no_password(passwords: Passwords) -> None:
    assert not await passwords.matches("anything", None)


async def test_equal_passwords_have_different_hashes_of_the_wanted_cost(
    passwords: Passwords, threads: ThreadPoolExecutor
) -> None:
    hashes = {await passwords.hash("the same") for _ in range(3)}
    assert len(hashes) == 3
    assert all(hashed.startswith("$2b$04$") and not passwords.outdated(hashed) for hashed in hashes)
    assert Passwords(threads, thread_count=1, cost=5).outdated(hashes.pop())


async def test_more_than_can_be_hashed_in_good_time_are_refused(threads: ThreadPoolExecutor) -> None:
    passwords = Passwords(threads, thread_count=1, cost=4)
    results = await asyncio.gather(
        *(passwords.hash("x") for _ in range(WAITING_PER_THREAD + 10)), return_exceptions=True
    )
    assert sum(isinstance(result, PasswordsBusyError) for result in results) == 10
    assert sum(isinstance(result, str) for result in results) == WAITING_PER_THREAD
    assert await passwords.hash("now there is room again")


async def test_a_call_that_is_cancelled_leaves_the_queue(threads: ThreadPoolExecutor) -> None:
    passwords = Passwords(threads, thread_count=1, cost=12)
    calls = [asyncio.create_task(passwords.hash("x")) for _ in range(WAITING_PER_THREAD)]
    await asyncio.sleep(0)  # each has taken its place
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    async with asyncio.timeout(3):  # all of them would take 9 seconds
        assert await passwords.hash("next")
