"""A document in a real Consul, followed: taken, refused, kept, lost and found again."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client import REGISTRY

from mesh.background import background
from mesh.client import connection
from mesh.client.destination import destination
from mesh.live.edit import drop, edit, put
from mesh.live.follow import follow, key
from mesh.live.settings import Live, LiveSettings, LiveSettingsError
from mesh.registry import Registry
from tests.eventually import eventually
from tests.live.conftest import Operator


@dataclass(frozen=True)
class Followed:
    """One service's settings, as a process of it has them."""

    registry: Registry
    service: str
    live: Live

    async def write(self, document: str) -> None:
        await self.registry.put(key(self.service), document)

    async def limit_is(self, calls: int) -> None:
        async def in_force() -> bool:
            return self.live.current.limits.max_concurrent_calls == calls

        await eventually(in_force)

    async def refusals_are(self, number: int) -> None:
        async def counted() -> bool:
            return REGISTRY.get_sample_value("mesh_live_refused_total", {"service": self.service}) == number

        await eventually(counted)


@pytest.fixture
async def followed(operator: Operator, service: str) -> AsyncIterator[Followed]:
    live = Live()
    async with Registry(operator.consul_url) as registry, background(follow(live, registry, service), "live"):
        yield Followed(registry, service, live)


def limit(calls: Any) -> str:
    return json.dumps({"limits": {"max_concurrent_calls": calls}})


async def test_a_bad_document_is_refused_loudly_and_the_old_one_stays(
    followed: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    await followed.write(limit(7))
    await followed.limit_is(7)
    in_force = followed.live.current

    await followed.write('{"limits": {"max_concurrent_calls": 0, "colour": 1}, "log_level": "DEBUG"}')
    await followed.refusals_are(1)
    assert followed.live.current is in_force
    [line] = [record for record in caplog.records if "refused" in record.getMessage()]
    assert line.levelname == "ERROR"
    for told in (followed.service, "limits.max_concurrent_calls: should be greater", "limits.colour: there is no such"):
        assert told in line.getMessage()

    for number, document in enumerate(["no JSON", "[]", ""], start=2):
        await followed.write(document)
        await followed.refusals_are(number)
        assert followed.live.current is in_force

    await followed.write(limit(8))
    await followed.limit_is(8)


async def test_without_a_document_the_defaults_hold_again(followed: Followed) -> None:
    await followed.write(limit(7))
    await followed.limit_is(7)
    await followed.registry._consul.kv.delete(key(followed.service))
    await followed.limit_is(LiveSettings().limits.max_concurrent_calls)
    assert followed.live.current == LiveSettings()


async def test_who_fails_when_told_does_not_end_the_following(followed: Followed) -> None:
    told: list[int] = []

    def fail(settings: LiveSettings) -> None:
        told.append(settings.limits.max_concurrent_calls)
        raise OSError("cannot")

    followed.live.on_change.append(fail)
    for calls in (7, 8):
        await followed.write(limit(calls))
        await followed.limit_is(calls)
    assert told == [7, 8]


async def test_what_is_in_force_outlives_consul_and_changes_come_again(operator: Operator, followed: Followed) -> None:
    await followed.write(limit(7))
    await followed.limit_is(7)
    with operator.consul_away():
        assert followed.live.current.limits.max_concurrent_calls == 7
    await followed.write(limit(8))
    await followed.limit_is(8)


async def test_two_who_edit_at_once_lose_nothing(followed: Followed) -> None:
    """The second one writes between the first one's reading and writing, every time."""
    edited = followed.service
    interfered = False

    def first(document: dict[str, Any]) -> None:
        put(document, {"trace_ratio": 0.5})

    class Interfering(Registry):
        async def put_if(self, key: str, value: str, index: int) -> bool:
            nonlocal interfered
            if not interfered:
                interfered = True
                await edit(followed.registry, edited, lambda document: put(document, {"log_level": "DEBUG"}))
            return await super().put_if(key, value, index)

    async with Interfering(f"http://{followed.registry._address}") as registry:
        settings = await edit(registry, edited, first)
    assert (settings.trace_ratio, settings.log_level) == (0.5, "DEBUG")
    document = await followed.registry.get(key(edited))
    assert document is not None
    assert LiveSettings.from_json(document) == settings


async def test_an_edit_that_is_wrong_writes_nothing(followed: Followed) -> None:
    await followed.write(limit(7))
    with pytest.raises(LiveSettingsError, match=r"^trace_ratio: should be less than or equal to 1, not 2$"):
        await edit(followed.registry, followed.service, lambda document: put(document, {"trace_ratio": 2}))
    with pytest.raises(LiveSettingsError, match="log_level: is not set"):
        await edit(followed.registry, followed.service, lambda document: drop(document, ["log_level"]))
    assert await followed.registry.get(key(followed.service)) == limit(7).encode()


async def test_settings_of_a_destination_are_followed_as_long_as_one_event_loop_calls_it(
    operator: Operator, followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSUL_HTTP_ADDR", operator.consul_url)
    of = destination(followed.service)

    async def another() -> None:
        async with connection._live.used(of.name) as live:
            assert live is of.live

    async with connection._live.used(of.name):
        await asyncio.to_thread(asyncio.run, another())
        await followed.write(json.dumps({"retry": {"max_attempts": 5}}))

        async def taken() -> bool:
            return of.live.current.retry.max_attempts == 5

        await eventually(taken)
