"""Keeps the index of the newest products, and those of the states before it for the listings that began there."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

import mesh
from services.gold import LakeUnavailableError, Version, VersionGoneError
from services.search.domain.products import Catalogue, IndexUnavailableError, ListingExpiredError, Product
from services.search.store.index import ProductIndex

log = mesh.logger(__name__)


class Products(Protocol):
    """The products in the lake; both block."""

    def newest(self) -> Version:
        """Cheap. Raises LakeUnavailableError."""
        ...

    def at(self, version: Version) -> Sequence[Product]:
        """Raises VersionGoneError, LakeUnavailableError."""
        ...


class ProductIndexes:
    """The newest index serves until its successor is complete, and as long as the lake is away."""

    def __init__(self, products: Products, *, kept: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self._products = products
        self._kept = kept
        self._clock = clock
        self._newest: ProductIndex | None = None
        self._indexes: OrderedDict[Catalogue, asyncio.Task[ProductIndex]] = OrderedDict()
        self._away = False

    def newest(self) -> ProductIndex:
        if self._newest is None:
            raise IndexUnavailableError("no index has been made yet")
        return self._newest

    async def of(self, catalogue: Catalogue) -> ProductIndex:
        """The index of that state, made again if it is no longer kept; once, whoever asks meanwhile."""
        if self._newest is not None and self._newest.catalogue == catalogue:
            return self._newest
        try:
            return await self._index(catalogue)
        except VersionGoneError as gone:
            raise ListingExpiredError(str(gone)) from gone
        except LakeUnavailableError as away:
            raise IndexUnavailableError(str(away)) from away

    async def follow(self, interval_seconds: float) -> None:
        """Refreshes for ever."""
        while True:
            await asyncio.sleep(interval_seconds)
            await self.refresh()

    async def refresh(self) -> None:
        """Makes the index of the newest version and lets it serve; does nothing if it does already or on failure."""
        try:
            version = await asyncio.to_thread(self._products.newest)
            catalogue = Catalogue(version.number, version.committed)
            if self._newest is None or self._newest.catalogue != catalogue:
                self._newest = await self._index(catalogue)
            if self._away:
                log.info("lake is back")
            self._away = False
        except (LakeUnavailableError, VersionGoneError) as problem:
            if not self._away:
                log.warning("lake is away: the last index goes on serving", problem=str(problem))
            self._away = True
        except Exception:
            log.exception("index could not be made: the last one goes on serving")

    async def _index(self, catalogue: Catalogue) -> ProductIndex:
        task = self._indexes.get(catalogue)
        if task is None or (task.done() and task.exception() is not None):
            task = asyncio.create_task(asyncio.to_thread(self._make, catalogue))
            self._indexes[catalogue] = task
        self._indexes.move_to_end(catalogue)
        while len(self._indexes) > self._kept:
            self._indexes.popitem(last=False)
        return await asyncio.shield(task)

    def _make(self, catalogue: Catalogue) -> ProductIndex:
        begin = self._clock()
        index = ProductIndex(catalogue, self._products.at(Version(catalogue.version, catalogue.committed)))
        milliseconds = round((self._clock() - begin) * 1000)
        log.info("index made", table_version=catalogue.version, products=len(index), milliseconds=milliseconds)
        return index
