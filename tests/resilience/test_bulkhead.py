"""Places for work: never more than there are, none lost, first come first served."""

import asyncio
import time
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from mesh.live.settings import Limits
from mesh.resilience.bulkhead import Bulkhead, FullError
from tests.eventually import eventually


@dataclass
class Work:
    """Work in a bulkhead whose places change, and what became of it."""

    limits: Limits
    bulkhead: Bulkhead = field(init=False)
    done: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    tasks: dict[int, "asyncio.Task[None]"] = field(default_factory=dict)
    gates: dict[int, asyncio.Event] = field(default_factory=dict)
    most: int = 0
    entered: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bulkhead = Bulkhead(lambda: self.limits)

    def begin(self) -> int:
        number = len(self.tasks)
        self.gates[number] = asyncio.Event()
        self.tasks[number] = asyncio.create_task(self._work(number))
        return number

    async def _work(self, number: int) -> None:
        if not self.bulkhead.enter():
            try:
                await self.bulkhead.queue()
            except FullError:
                self.refused.append(number)
                return
        try:
            self.entered.append(number)
            self.most = max(self.most, self.bulkhead.in_flight)
            await self.gates[number].wait()
            self.done.append(number)
        finally:
            self.bulkhead.leave()

    def finish(self, number: int) -> None:
        self.gates[number].set()

    async def end(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_waits_is_let_in_in_turn_and_the_rest_is_refused_at_once() -> None:
    work = Work(Limits(max_concurrent_calls=2, max_queued_calls=2, queue_seconds=10))
    for _ in range(5):
        work.begin()
    await turn()
    assert (work.entered, work.refused, work.bulkhead.queued) == ([0, 1], [4], 2)
    work.finish(1)
    await turn()
    work.begin()
    await turn()
    work.finish(0)
    await turn()
    assert (work.entered, work.refused) == ([0, 1, 2, 3], [4])
    await work.end()
    assert (work.bulkhead.in_flight, work.bulkhead.queued) == (0, 0)


async def test_nobody_waits_longer_than_may_be() -> None:
    work = Work(Limits(max_concurrent_calls=1, max_queued_calls=2, queue_seconds=0.05))
    for _ in range(3):
        work.begin()

    async def both_refused() -> bool:
        return work.refused == [1, 2]

    await eventually(both_refused)
    assert (work.bulkhead.in_flight, work.bulkhead.queued) == (1, 0)
    await work.end()
    assert work.bulkhead.in_flight == 0


async def test_new_limits_hold_for_who_comes_next() -> None:
    work = Work(Limits(max_concurrent_calls=1, max_queued_calls=5, queue_seconds=10))
    for _ in range(3):
        work.begin()
    await turn()
    work.limits = Limits(max_concurrent_calls=4, max_queued_calls=5, queue_seconds=10)
    work.begin()  # those who came before get their places first
    await turn()
    assert sorted(work.entered) == [0, 1, 2, 3]
    work.limits = Limits(max_concurrent_calls=1, max_queued_calls=0, queue_seconds=10)
    work.finish(0)
    await turn()
    refused = work.begin()
    await turn()
    assert work.refused == [refused]
    await work.end()
    assert work.bulkhead.in_flight == 0


async def test_a_place_given_to_who_is_cancelled_in_that_moment_is_not_lost() -> None:
    work = Work(Limits(max_concurrent_calls=1, max_queued_calls=5, queue_seconds=10))
    for _ in range(3):
        work.begin()
    await turn()
    work.finish(0)
    while work.bulkhead.queued == 2:  # noqa: ASYNC110 - the turn of 1 has come, and it has not heard of it yet
        await asyncio.sleep(0)
    assert work.entered == [0]
    work.tasks[1].cancel()
    await turn()
    assert work.entered == [0, 2]
    await work.end()
    assert (work.bulkhead.in_flight, work.bulkhead.queued) == (0, 0)


STEPS = st.lists(
    st.one_of(
        st.just(("begin", 0)),
        st.tuples(st.sampled_from(["finish", "cancel"]), st.integers(0, 30)),
        st.tuples(st.just("turn"), st.integers(1, 3)),
        st.tuples(st.just("places"), st.integers(1, 4)),
    ),
    max_size=60,
)


@given(steps=STEPS, places=st.integers(1, 4), queue=st.integers(0, 4))
def test_whatever_happens_places_are_neither_lost_nor_overbooked(
    steps: list[tuple[str, int]], places: int, queue: int
) -> None:
    async def scenario() -> None:
        work = Work(Limits(max_concurrent_calls=places, max_queued_calls=queue, queue_seconds=30))
        most = places
        for step, number in steps:
            if step == "begin":
                work.begin()
            elif step == "turn":
                for _ in range(number):
                    await asyncio.sleep(0)
            elif step == "places":
                work.limits = work.limits.model_copy(update={"max_concurrent_calls": number})
                most = max(most, number)
            elif number in work.tasks:
                work.finish(number) if step == "finish" else work.tasks[number].cancel()
            assert work.bulkhead.in_flight <= most
            assert work.bulkhead.queued <= queue
        await turn()
        assert work.most <= most
        for number in list(work.gates):
            work.finish(number)
        await asyncio.gather(*work.tasks.values(), return_exceptions=True)
        assert (work.bulkhead.in_flight, work.bulkhead.queued) == (0, 0)
        lost = [number for number, task in work.tasks.items() if not task.cancelled()]
        assert sorted(work.done + work.refused) == lost

    asyncio.run(scenario())


async def test_an_entry_costs_next_to_nothing() -> None:
    bulkhead = Bulkhead(lambda: limits)
    limits = Limits()
    best = 1.0
    for _ in range(20):
        started = time.process_time()
        for _ in range(1000):
            bulkhead.enter()
            bulkhead.leave()
        best = min(best, (time.process_time() - started) / 1000)
    assert best < 5e-6, f"{best * 1e6:.2f} us"
