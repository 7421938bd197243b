"""The lake as the domain sees it: its newest edition, and those before it for the listings that began there."""

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import duckdb

import mesh
from services import gold
from services.analytics.domain.analytics import Edition, LakeAwayError, ListingExpiredError, Version
from services.analytics.store.edition_facts import FACT_COLUMNS, PRODUCT_COLUMNS, EditionFacts, Limits
from services.analytics.store.engine import Engine
from services.analytics.store.recent import Recent
from services.gold import NOT_LOADED, GoldTable
from services.lakehouse import DIM_PRODUCT, FACT_SALE, Lakehouse

log = mesh.logger(__name__)


class GoldLake:
    def __init__(self, lakehouse: Lakehouse, engine: Engine, limits: Limits, *, kept_editions: int) -> None:
        self._facts = GoldTable(lakehouse, FACT_SALE)
        self._products = GoldTable(lakehouse, DIM_PRODUCT)
        self._engine = engine
        self._limits = limits
        self._kept = kept_editions
        # One thread looks for versions and one loads: neither waits for the other, nor for queries.
        self._looking = ThreadPoolExecutor(1, thread_name_prefix="versions")
        self._loading = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._newest = Recent(self._look)
        self._latest: Edition | None = None
        self._editions: OrderedDict[Edition, asyncio.Task[EditionFacts]] = OrderedDict()

    def close(self) -> None:
        self._looking.shutdown()
        self._loading.shutdown(cancel_futures=True)

    async def newest(self) -> EditionFacts:
        try:
            self._latest = await self._newest.get()
            return await self._edition(self._latest)
        except (gold.LakeUnavailableError, gold.VersionGoneError) as problem:
            log.warning("lake can't be read", problem=str(problem))
            raise LakeAwayError(str(problem)) from problem

    async def at(self, edition: Edition) -> EditionFacts:
        try:
            return await self._edition(edition)
        except gold.VersionGoneError as gone:
            raise ListingExpiredError(str(gone)) from gone
        except gold.LakeUnavailableError as away:
            log.warning("lake can't be read", problem=str(away))
            raise LakeAwayError(str(away)) from away

    async def _look(self) -> Edition:
        return await asyncio.get_running_loop().run_in_executor(self._looking, self._look_now)

    def _look_now(self) -> Edition:
        return Edition(_domain(self._facts.newest()), _domain(self._products.newest()))

    async def _edition(self, edition: Edition) -> EditionFacts:
        """Loaded once, whoever waits for it; a load goes on when they cease to, for the next to find it."""
        task = self._editions.get(edition)
        if task is None or _failed(task):
            task = self._editions[edition] = asyncio.create_task(self._load(edition))
        self._editions.move_to_end(edition)
        self._forget()
        return await asyncio.shield(task)

    def _forget(self) -> None:
        """Drops what was not used for longest; listings in old editions never push out the newest."""
        excess = len(self._editions) - self._kept
        for edition in [edition for edition in self._editions if edition != self._latest][: max(0, excess)]:
            del self._editions[edition]

    async def _load(self, edition: Edition) -> EditionFacts:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        facts = await loop.run_in_executor(self._loading, self._load_now, edition)
        milliseconds = round((loop.time() - begin) * 1000)
        log.info("edition loaded", table_version=edition.facts.number, milliseconds=milliseconds)
        return facts

    def _load_now(self, edition: Edition) -> EditionFacts:
        facts, products = _stored(edition.facts), _stored(edition.products)
        try:
            return EditionFacts.load(
                edition,
                None if facts == NOT_LOADED else self._facts.stream(facts, FACT_COLUMNS),
                None if products == NOT_LOADED else self._products.rows(products, PRODUCT_COLUMNS),
                self._engine,
                self._limits,
            )
        except duckdb.InvalidInputException as problem:  # the stream of facts failed midway
            raise self._facts.unreadable(facts) from problem


def _domain(version: gold.Version) -> Version:
    return Version(version.number, version.committed)


def _stored(version: Version) -> gold.Version:
    return gold.Version(version.number, version.committed)


def _failed(task: asyncio.Task[EditionFacts]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
