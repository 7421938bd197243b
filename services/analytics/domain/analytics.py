"""Answering: from the newest edition of the lake, except that a listing goes on in the edition it began with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.analytics.domain.figures import Kpis, Revenue
from services.analytics.domain.questions import KpisQuestion, RevenueQuestion, TopProductsQuestion


class LakeAwayError(Exception):
    """The lake can't be read now."""


class ListingExpiredError(Exception):
    """The lake no longer keeps the edition that the listing began with."""


@dataclass(frozen=True)
class Version:
    """Of one table. Two are equal only if they hold the same rows."""

    number: int
    """-1: nothing is loaded."""
    committed: int
    """Milliseconds since 1970, UTC."""


@dataclass(frozen=True)
class Edition:
    """The versions of the tables that an answer is made from."""

    facts: Version
    products: Version
    """They name, never count: a product's description comes from here."""


@dataclass(frozen=True)
class Window:
    """Which rows of an ordered answer are wanted."""

    offset: int
    limit: int


class Facts(Protocol):
    """The facts of one edition. They never change."""

    @property
    def edition(self) -> Edition: ...

    @property
    def currency_code(self) -> str:
        """ISO 4217; empty where there are no facts."""
        ...

    async def revenue(self, question: RevenueQuestion, window: Window) -> Sequence[Revenue]: ...

    async def top_products(self, question: TopProductsQuestion, window: Window) -> Sequence[Revenue]: ...

    async def kpis(self, question: KpisQuestion) -> Kpis: ...


class Lake(Protocol):
    async def newest(self) -> Facts:
        """Nothing that was committed before the call is missing. Raises LakeAwayError."""
        ...

    async def at(self, edition: Edition) -> Facts:
        """Raises ListingExpiredError, LakeAwayError."""
        ...


@dataclass(frozen=True)
class Place:
    """Where a page of a listing begins."""

    edition: Edition
    offset: int


@dataclass(frozen=True)
class Page:
    rows: tuple[Revenue, ...]
    offset: int
    """How many rows come before these."""
    facts: Facts
    more: bool

    @property
    def next(self) -> Place | None:
        """None: this was the last page."""
        return Place(self.facts.edition, self.offset + len(self.rows)) if self.more else None


class Analytics:
    """`place` is None for the first page. All raise LakeAwayError, and with a place ListingExpiredError."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    async def revenue(self, question: RevenueQuestion, size: int, place: Place | None) -> Page:
        facts = await self._facts(place)
        window = _window(size, place)
        return _page(facts, await facts.revenue(question, window), window)

    async def top_products(self, question: TopProductsQuestion, size: int, place: Place | None) -> Page:
        facts = await self._facts(place)
        window = _window(size, place)
        return _page(facts, await facts.top_products(question, window), window)

    async def kpis(self, question: KpisQuestion) -> tuple[Kpis, Facts]:
        facts = await self._lake.newest()
        return await facts.kpis(question), facts

    async def _facts(self, place: Place | None) -> Facts:
        return await (self._lake.newest() if place is None else self._lake.at(place.edition))


def _window(size: int, place: Place | None) -> Window:
    """One row more than the page has, to see whether it is the last."""
    return Window(0 if place is None else place.offset, size + 1)


def _page(facts: Facts, rows: Sequence[Revenue], window: Window) -> Page:
    size = window.limit - 1
    return Page(tuple(rows[:size]), window.offset, facts, more=len(rows) > size)
