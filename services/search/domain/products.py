"""Products and what a search for them gives."""

from dataclasses import dataclass
from decimal import Decimal


class IndexUnavailableError(Exception):
    """No index could be made yet, or not of the version that was asked for."""


class ListingExpiredError(Exception):
    """The lake no longer keeps the version of the products that the listing began with."""


@dataclass(frozen=True)
class Product:
    stock_code: str
    description: str
    """Empty where none is known."""
    unit_price: Decimal | None
    """The latest price at which it was sold; None: it never was."""
    units_sold: int
    """Less what came back, so it may be negative."""


@dataclass(frozen=True)
class Hit:
    product: Product
    score: float
    """Higher is better; comparable within one answer only."""


@dataclass(frozen=True)
class Catalogue:
    """Names one state of the products. Two are equal only if they hold the same products."""

    version: int
    """-1: nothing is loaded."""
    committed: int
    """Milliseconds since 1970, UTC."""


@dataclass(frozen=True)
class Place:
    """Where a page of a listing begins."""

    catalogue: Catalogue
    offset: int


@dataclass(frozen=True)
class Page:
    hits: tuple[Hit, ...]
    total: int
    """All products that match, on whichever page."""
    catalogue: Catalogue
    next: Place | None
    """None: this was the last page."""
