"""The same figures in plain Python, from the rows themselves."""

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tests.gold_lake import Fact

KEYS: dict[str, Callable[[Fact], str]] = {
    "month": lambda fact: fact.month,
    "country": lambda fact: fact.country,
    "product": lambda fact: fact.stock_code,
    "customer": lambda fact: fact.customer_id or "",
}


@dataclass(frozen=True)
class Group:
    key: str
    revenue: Decimal
    quantity: int
    invoice_count: int
    row_count: int


def groups(facts: Iterable[Fact], grouping: str) -> list[Group]:
    """By key."""
    rows: dict[str, list[Fact]] = {}
    for fact in facts:
        rows.setdefault(KEYS[grouping](fact), []).append(fact)
    return [_group(key, rows[key]) for key in sorted(rows)]


def _group(key: str, facts: Sequence[Fact]) -> Group:
    return Group(
        key,
        sum((fact.amount for fact in facts), Decimal(0)),
        sum(fact.quantity for fact in facts),
        len({fact.invoice_no for fact in facts}),
        len(facts),
    )


def ordered(rows: list[Group], field: str, *, descending: bool) -> list[Group]:
    """Equals by key."""
    return sorted(sorted(rows, key=lambda row: row.key), key=operator.attrgetter(field), reverse=descending)


def kpis(facts: Sequence[Fact]) -> dict[str, Any]:
    sales = [fact for fact in facts if fact.kind == "SALE"]
    orders = len({fact.invoice_no for fact in sales})
    average = sum((fact.amount for fact in sales), Decimal(0)) / orders if orders else None
    return {
        "revenue": sum((fact.amount for fact in facts), Decimal(0)),
        "row_count": len(facts),
        "invoice_count": len({fact.invoice_no for fact in facts}),
        "cancelled_invoice_count": len({fact.invoice_no for fact in facts if fact.kind == "CANCELLATION"}),
        "customer_count": len({fact.customer_id for fact in facts} - {None}),
        "product_count": len({fact.stock_code for fact in facts if fact.is_product}),
        "country_count": len({fact.country for fact in facts}),
        "units_sold": sum(fact.quantity for fact in facts if fact.is_product),
        "average_order_value": None if average is None else average.quantize(Decimal("0.0001"), rounding=ROUND_HALF_UP),
        "first_date": min((fact.date for fact in facts), default=None),
        "last_date": max((fact.date for fact in facts), default=None),
    }
