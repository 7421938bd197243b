"""A sale: what was sold, to whom, for how much. All arithmetic is exact."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from enum import StrEnum
from uuid import UUID

from services.sales.domain.currencies import ISO_4217
from services.sales.domain.errors import CurrenciesMixedError, CurrencyUnknownError, TotalTooLargeError

# Wider than any amount; a result that had to be rounded would be a defect and raises.
_EXACT = Context(prec=64, traps=[Inexact, InvalidOperation])

TOTAL_LIMIT = Decimal(10) ** 18
"""A total is below this: whole units then fit google.type.Money's int64."""


class SaleState(StrEnum):
    RECORDED = "RECORDED"
    CANCELLED = "CANCELLED"
    RETURNED = "RETURNED"


@dataclass(frozen=True)
class Item:
    """A position as the caller gives it."""

    stock_code: str
    description: str
    quantity: int
    unit_price: Decimal
    """At most four decimal places."""
    currency_code: str


@dataclass(frozen=True)
class Line:
    """A position of a recorded sale; its prices are in the sale's currency."""

    number: int
    """1 for the first."""
    stock_code: str
    description: str
    quantity: int
    unit_price: Decimal
    amount: Decimal


@dataclass(frozen=True)
class NewSale:
    """What a caller wants recorded."""

    customer_id: str
    """Empty: not known."""
    country: str
    items: Sequence[Item]

    def fingerprint(self) -> bytes:
        """The same for the same sale, and for no other: 32 bytes."""
        items = [
            (item.stock_code, item.description, item.quantity, f"{item.unit_price:.4f}", item.currency_code)
            for item in self.items
        ]
        said = json.dumps([self.customer_id, self.country, items], separators=(",", ":"))
        return hashlib.sha256(said.encode()).digest()


@dataclass(frozen=True)
class Sale:
    sale_id: UUID
    customer_id: str
    country: str
    currency_code: str
    lines: Sequence[Line]
    total: Decimal
    state: SaleState
    version: int
    """1 when recorded; each change adds 1."""
    create_time: datetime
    update_time: datetime

    @classmethod
    def record(cls, new: NewSale, *, sale_id: UUID, at: datetime) -> "Sale":
        """The sale as it is recorded.

        Raises CurrencyUnknownError, CurrenciesMixedError or TotalTooLargeError.
        """
        currency_code = _one_currency(new.items)
        lines = tuple(_line(number, item) for number, item in enumerate(new.items, start=1))
        return cls(
            sale_id=sale_id,
            customer_id=new.customer_id,
            country=new.country,
            currency_code=currency_code,
            lines=lines,
            total=_total(lines),
            state=SaleState.RECORDED,
            version=1,
            create_time=at,
            update_time=at,
        )


def _one_currency(items: Sequence[Item]) -> str:
    codes = [item.currency_code for item in items]
    unknown = {index: code for index, code in enumerate(codes) if code not in ISO_4217}
    if unknown:
        first = next(iter(unknown.values()))
        raise CurrencyUnknownError(first, {index: f"ISO 4217 has no {code}" for index, code in unknown.items()})
    other = {
        index: f"{code}, and the first line is in {codes[0]}" for index, code in enumerate(codes) if code != codes[0]
    }
    if other:
        raise CurrenciesMixedError(sorted(set(codes)), other)
    return codes[0]


def _line(number: int, item: Item) -> Line:
    amount = _EXACT.multiply(Decimal(item.quantity), item.unit_price)
    return Line(number, item.stock_code, item.description, item.quantity, item.unit_price, amount)


def _total(lines: Sequence[Line]) -> Decimal:
    total = Decimal(0)
    for line in lines:
        total = _EXACT.add(total, line.amount)
    if total >= TOTAL_LIMIT:
        raise TotalTooLargeError
    return total
