"""Queries stop when nobody waits for them."""

import asyncio
import random
from collections.abc import Iterator

import duckdb
import grpc
import pytest
from retail.analytics.v1 import analytics_service_pb2 as pb
from retail.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceStub

import mesh.testing
from services.analytics.bootstrap import bootstrap
from services.analytics.settings import Settings
from services.analytics.store import statements
from services.analytics.store.answers import Answers, Rows
from services.analytics.store.engine import Engine
from services.analytics.store.recent import Recent
from services.analytics.store.statements import Statement
from tests.eventually import eventually
from tests.gold_lake import Fact, GoldLake

# Hours of work, were it left alone.
ENDLESS = Statement(
    "SELECT count(*) FROM range(10_000_000) a, range(10_000_000) b WHERE (a.range * b.range) % 7 = 1", ()
)
QUICK = Statement("SELECT 1", ())


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine(1)
    yield engine
    engine.close()


async def test_a_cancelled_query_stops_and_frees_its_thread(engine: Engine) -> None:
    with duckdb.connect() as database:
        endless = asyncio.create_task(engine.query(database, ENDLESS))
        waiting = asyncio.create_task(engine.query(database, QUICK))
        await asyncio.wait([waiting], timeout=0.3)
        assert not waiting.done()
        endless.cancel()
        async with asyncio.timeout(5):
            assert await waiting == [(1,)]
        assert endless.cancelled()


async def test_a_cancellation_at_any_moment_stops_the_query(engine: Engine) -> None:
    moments = random.Random(7)
    with duckdb.connect() as database:
        for _ in range(60):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(moments.choice([0, 0.0002, 0.001, 0.003])):
                    await engine.query(database, ENDLESS)
        async with asyncio.timeout(5):
            assert await engine.query(database, QUICK) == [(1,)]


async def test_a_deadline_stops_the_query_of_its_call(lake: GoldLake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.write_facts([Fact()])
    monkeypatch.setattr(statements, "kpis", lambda question: ENDLESS)
    async with (
        bootstrap(Settings(lake.uri, query_threads=1)) as rpc,
        mesh.testing.serving(rpc) as server,
        server.channel(permissions={"analytics.read"}) as channel,
    ):
        analytics = AnalyticsServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await analytics.GetKpis(pb.GetKpisRequest(), timeout=0.5)
        assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        months = pb.QueryRevenueRequest(group_by=pb.REVENUE_GROUPING_MONTH)
        assert len((await analytics.QueryRevenue(months, timeout=5)).rows) == 1


class Question:
    """Answered when `answer` is called."""

    def __init__(self) -> None:
        self.asked = 0
        self.cancelled = 0
        self._answer: asyncio.Future[Rows] = asyncio.get_running_loop().create_future()

    def answer(self, rows: Rows) -> None:
        self._answer.set_result(rows)

    async def ask(self) -> Rows:
        self.asked += 1
        try:
            return await asyncio.shield(self._answer)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def test_a_question_is_asked_once_for_all_and_cancelled_with_the_last() -> None:
    answers, question = Answers(10), Question()
    first, second, third = (asyncio.create_task(answers.get("q", question.ask)) for _ in range(3))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    assert (question.asked, question.cancelled) == (1, 0)
    for task in (second, third):
        task.cancel()
    await asyncio.wait([second, third])

    async def cancelled() -> bool:
        return question.cancelled == 1

    await eventually(cancelled)
    again = asyncio.create_task(answers.get("q", question.ask))
    question.answer([(1,)])
    assert await again == [(1,)]
    assert question.asked == 2
    assert await answers.get("q", question.ask) == [(1,)]
    assert question.asked == 2


async def test_kept_answers_are_bounded_by_their_rows() -> None:
    answers = Answers(10)
    asked: list[str] = []

    async def get(name: str, rows: int) -> None:
        async def ask() -> Rows:
            asked.append(name)
            return [(name,)] * rows

        assert len(await answers.get(name, ask)) == rows

    for name, rows in [("a", 4), ("b", 4), ("a", 4), ("c", 4), ("a", 4), ("b", 4), ("huge", 11), ("huge", 11)]:
        await get(name, rows)
    assert asked == ["a", "b", "c", "b", "huge", "huge"]


async def test_a_look_that_began_before_the_question_is_not_its_answer() -> None:
    looks: list[asyncio.Future[int]] = []

    async def look() -> int:
        looks.append(asyncio.get_running_loop().create_future())
        return await looks[-1]

    async def begun(count: int) -> None:
        async def reached() -> bool:
            return len(looks) == count

        await eventually(reached, interval=0)

    recent = Recent(look)
    early = asyncio.create_task(recent.get())
    await begun(1)
    late = [asyncio.create_task(recent.get()) for _ in range(100)]
    await asyncio.sleep(0)
    looks[0].set_result(1)
    assert await early == 1
    await begun(2)
    looks[1].set_result(2)
    assert await asyncio.gather(*late) == [2] * 100
    assert len(looks) == 2
