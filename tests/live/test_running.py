"""An operator's change reaches processes that run: the served one, and the one that calls it."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from mesh.live.follow import key
from mesh.registry import Registry
from tests.control.conftest import Caller, Plane, plane
from tests.eventually import eventually_sync
from tests.live.conftest import Operator
from tests.programs import Program

__all__ = ["plane"]

SERVICE = "auth"
SOON_SECONDS = 5


@dataclass(frozen=True)
class Scene:
    """An operator, an instance, and a client that calls it without a pause."""

    operator: Operator
    instance: Program
    caller: Caller

    def does(self, *arguments: str) -> float:
        """The operator's command; returns when it was done."""
        done = self.operator.quick(*arguments)
        assert done.status == 0, done.error
        return time.time()

    def answers_again(self, since: float) -> None:
        """Waits until the client has got fifty answers in a row."""

        def well() -> bool:
            last = max((answer["at"] for answer in self.caller.failures(since)), default=since)
            return len(self.caller.answers(last)) >= 50

        eventually_sync(well, 20)


@pytest.fixture(scope="module")
def scene(plane: Plane) -> Iterator[Scene]:
    with plane.control(), plane.greeters("auth-1") as [instance], plane.caller() as caller:
        yield Scene(Operator(plane.stack), instance, caller)


def test_a_fault_strikes_at_once_and_only_whom_it_names(scene: Scene) -> None:
    def struck(since: float) -> bool:
        return any("down was injected on purpose" in answer["details"] for answer in scene.caller.failures(since))

    scene.does("faults", "add", SERVICE, "for-others", "--abort", "DATA_LOSS", "--caller", "edge")
    added = scene.does("faults", "add", SERVICE, "down", "--abort", "FAILED_PRECONDITION", "--caller", "client")
    eventually_sync(lambda: struck(added), SOON_SECONDS)
    removed = scene.does("faults", "remove", SERVICE, "down")
    scene.answers_again(removed)
    assert {answer["code"] for answer in scene.caller.failures()} == {"FAILED_PRECONDITION"}
    scene.does("faults", "clear")


def test_the_log_level_changes_and_a_wrong_document_is_told_in_the_log(scene: Scene) -> None:
    def said(message: str) -> int:
        return len(scene.instance.said(message))

    taken = said("live settings taken")
    scene.does("live", SERVICE, "set", "trace_ratio=0.5")
    eventually_sync(lambda: said("live settings taken") == taken + 1, SOON_SECONDS)
    scene.does("live", SERVICE, "set", "log_level=ERROR")

    async def wrong() -> None:
        async with Registry(scene.operator.consul_url) as registry:
            await registry.put(key(SERVICE), '{"trace_ratio": 2}')

    asyncio.run(wrong())
    eventually_sync(lambda: said("live settings refused, the old ones stay") == 1, SOON_SECONDS)
    assert said("live settings taken") == taken + 1  # it was, and only errors are logged
    scene.does("live", SERVICE, "unset", "--all")
    eventually_sync(lambda: said("live settings taken") == taken + 2, SOON_SECONDS)


def test_a_split_moves_calls_between_versions_and_fails_none(scene: Scene, plane: Plane) -> None:
    old, new = "1", "99.1.0-rc"  # as the plane starts its greeters

    def only(instance: str, since: float) -> None:
        """Waits until fifty answers in a row came from this instance."""

        def moved() -> bool:
            return {answer.get("by") for answer in scene.caller.answers(since)[-50:]} == {instance}

        eventually_sync(lambda: len(scene.caller.answers(since)) >= 50 and moved(), 20)

    with plane._program("auth-2", "tests.control.greeter", MESH_VERSION=new) as second:
        second.registered()
        began = time.time()
        eventually_sync(lambda: len(scene.caller.by(began)) == 2)
        only("auth-1", scene.does("split", SERVICE, f"{old}=100", f"{new}=0"))
        only("auth-2", scene.does("split", SERVICE, f"{old}=0", f"{new}=100"))
        only("auth-1", scene.does("split", SERVICE, f"{old}=1", "99.2=99"))  # nobody runs 99.2: its share is auth-1's
        cleared = scene.does("split", SERVICE, "--clear")
        eventually_sync(lambda: len(scene.caller.by(cleared)) == 2)
    assert scene.caller.failures(began) == []
