"""What can be asked."""

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum

Condition = Hashable
"""Which rows count, in the terms of the store; None: all. Two that are equal let the same rows through."""


class Grouping(Enum):
    MONTH = "month"
    COUNTRY = "country"
    PRODUCT = "product"
    CUSTOMER = "customer"


class Measure(Enum):
    """What rows of figures can be ordered by."""

    KEY = "key"
    REVENUE = "revenue"
    QUANTITY = "quantity"
    INVOICE_COUNT = "invoice_count"


@dataclass(frozen=True)
class Order:
    by: Measure
    descending: bool = False


@dataclass(frozen=True)
class RevenueQuestion:
    """Revenue of each group. Build one with `ask`, which makes its order total."""

    grouping: Grouping
    condition: Condition
    orders: tuple[Order, ...]

    @classmethod
    def ask(cls, grouping: Grouping, condition: Condition, orders: tuple[Order, ...] = ()) -> "RevenueQuestion":
        """Without orders months come by key and all else by revenue, the highest first; equals come by key.

        A total order is what lets pages neither repeat nor omit a row.
        """
        if not orders and grouping is not Grouping.MONTH:
            orders = (Order(Measure.REVENUE, descending=True),)
        return cls(grouping, condition, _total(orders))


@dataclass(frozen=True)
class TopProductsQuestion:
    """The products that sold best; rows that are no products never count."""

    condition: Condition
    orders: tuple[Order, ...]

    @classmethod
    def ask(cls, condition: Condition, best_by: Measure = Measure.REVENUE) -> "TopProductsQuestion":
        return cls(condition, _total((Order(best_by, descending=True),)))


@dataclass(frozen=True)
class KpisQuestion:
    condition: Condition


def _total(orders: tuple[Order, ...]) -> tuple[Order, ...]:
    return orders if any(order.by is Measure.KEY for order in orders) else (*orders, Order(Measure.KEY))
