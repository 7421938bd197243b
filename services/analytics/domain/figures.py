"""The figures of an answer. Amounts are exact, in the one currency of the facts."""

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal

_ORDER_VALUE_STEP = Decimal("0.0001")
# More digits than any quotient of a sum and a count needs, so that it is rounded once only.
_EXACT = Context(prec=80)


@dataclass(frozen=True)
class Revenue:
    """Of one group."""

    key: str
    """`2011-01`, `France`, `85123A` or `17850`; empty for customers whom nobody knows."""
    label: str
    """A product's description where one is known, otherwise the key."""
    revenue: Decimal
    quantity: int
    invoice_count: int
    row_count: int


@dataclass(frozen=True)
class Kpis:
    revenue: Decimal
    row_count: int
    invoice_count: int
    """Cancellations and adjustments included."""
    cancelled_invoice_count: int
    customer_count: int
    """Those that are known."""
    product_count: int
    country_count: int
    units_sold: int
    """Of products; less what came back."""
    sale_revenue: Decimal
    """Of sales alone, before cancellations and adjustments."""
    sale_invoice_count: int
    first_date: date | None
    """None: there are no rows."""
    last_date: date | None

    @property
    def average_order_value(self) -> Decimal | None:
        """Rounded half up to four decimals; None without a sale."""
        if self.sale_invoice_count == 0:
            return None
        exact = _EXACT.divide(self.sale_revenue, Decimal(self.sale_invoice_count))
        return exact.quantize(_ORDER_VALUE_STEP, rounding=ROUND_HALF_UP, context=_EXACT)
