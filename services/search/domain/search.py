"""Searching: the newest index answers, except that a listing goes on in the state of the products it began with."""

from collections.abc import Sequence
from typing import Protocol

from services.search.domain.products import Catalogue, Hit, Page, Place


class Index(Protocol):
    """A full-text index of one state of the products. It never changes."""

    @property
    def catalogue(self) -> Catalogue: ...

    async def find(self, query: str, offset: int, limit: int) -> tuple[Sequence[Hit], int]:
        """The hits from `offset`, best first, and how many there are in all. Any text is a query."""
        ...


class Indexes(Protocol):
    def newest(self) -> Index:
        """Raises IndexUnavailableError."""
        ...

    async def of(self, catalogue: Catalogue) -> Index:
        """Raises ListingExpiredError, IndexUnavailableError."""
        ...


class ProductSearch:
    def __init__(self, indexes: Indexes) -> None:
        self._indexes = indexes

    async def search(self, query: str, size: int, place: Place | None) -> Page:
        """One page of the products that match; `place` is None for the first.

        Raises IndexUnavailableError, ListingExpiredError.
        """
        index = self._indexes.newest() if place is None else await self._indexes.of(place.catalogue)
        offset = 0 if place is None else place.offset
        hits, total = await index.find(query, offset, size)
        end = offset + len(hits)
        following = Place(index.catalogue, end) if hits and end < total else None
        return Page(tuple(hits), total, index.catalogue, following)
