"""The questions as SQL over the tables of an edition. Values are parameters, names come from the maps below."""

from collections.abc import Iterable
from dataclasses import dataclass

from mesh import aip
from services.analytics.domain.analytics import Window
from services.analytics.domain.questions import (
    Condition,
    Grouping,
    KpisQuestion,
    Measure,
    Order,
    RevenueQuestion,
    TopProductsQuestion,
)
from services.analytics.filters import FILTER_FIELDS

_KEYS = {
    Grouping.MONTH: "month",
    Grouping.COUNTRY: "country",
    Grouping.PRODUCT: "stock_code",
    Grouping.CUSTOMER: "customer_id",
}
_LABELS = {
    Grouping.PRODUCT: "coalesce((SELECT description FROM edition.dim_product d WHERE d.stock_code = g.key), g.key)"
}
_MEASURES = {
    Measure.KEY: "key",
    Measure.REVENUE: "revenue",
    Measure.QUANTITY: "quantity",
    Measure.INVOICE_COUNT: "invoice_count",
}


@dataclass(frozen=True)
class Statement:
    sql: str
    parameters: tuple[aip.Value, ...]


def revenue(question: RevenueQuestion, window: Window) -> Statement:
    """Columns: as `domain.figures.Revenue`."""
    return _revenue(question.grouping, where(question.condition), question.orders, window)


def top_products(question: TopProductsQuestion, window: Window) -> Statement:
    """Columns: as `domain.figures.Revenue`."""
    condition = where(question.condition)
    products = Statement(f"is_product AND ({condition.sql})", condition.parameters)
    return _revenue(Grouping.PRODUCT, products, question.orders, window)


def kpis(question: KpisQuestion) -> Statement:
    """Columns: as `domain.figures.Kpis`."""
    condition = where(question.condition)
    sql = f"""
        SELECT
            coalesce(sum(amount), 0),
            count(*),
            count(DISTINCT invoice_no),
            count(DISTINCT invoice_no) FILTER (kind = 'CANCELLATION'),
            count(DISTINCT customer_id) FILTER (customer_id <> ''),
            count(DISTINCT stock_code) FILTER (is_product),
            count(DISTINCT country),
            coalesce(sum(quantity) FILTER (is_product), 0),
            coalesce(sum(amount) FILTER (kind = 'SALE'), 0),
            count(DISTINCT invoice_no) FILTER (kind = 'SALE'),
            min(date),
            max(date)
        FROM edition.fact_sale
        WHERE {condition.sql}"""  # noqa: S608
    return Statement(sql, condition.parameters)


def where(condition: Condition) -> Statement:
    """The condition of a filter over FILTER_FIELDS; TRUE for None."""
    match condition:
        case None:
            return Statement("TRUE", ())
        case aip.Comparison(field, operator, value):
            return Statement(f"{_column(field)} {aip.Operator(operator)} ?", (value,))
        case aip.Not(part):
            inner = where(part)
            return Statement(f"NOT ({inner.sql})", inner.parameters)
        case aip.And(parts):
            return _joined(" AND ", map(where, parts))
        case aip.Or(parts):
            return _joined(" OR ", map(where, parts))
        case _:
            raise TypeError(f"{condition!r} is no filter")


def _joined(word: str, parts: Iterable[Statement]) -> Statement:
    statements = list(parts)
    sql = word.join(f"({statement.sql})" for statement in statements)
    return Statement(sql, tuple(value for statement in statements for value in statement.parameters))


def _column(field: str) -> str:
    if field not in FILTER_FIELDS:
        raise ValueError(field)
    return field  # columns have the same names


def _revenue(grouping: Grouping, condition: Statement, orders: tuple[Order, ...], window: Window) -> Statement:
    order_by = ", ".join(f"{_MEASURES[order.by]} {'DESC' if order.descending else 'ASC'}" for order in orders)
    # Labels are looked up for the rows of the page alone.
    sql = f"""
        SELECT key, {_LABELS.get(grouping, "key")} AS label, revenue, quantity, invoice_count, row_count
        FROM (
            SELECT
                {_KEYS[grouping]} AS key,
                sum(amount) AS revenue,
                sum(quantity) AS quantity,
                count(DISTINCT invoice_no) AS invoice_count,
                count(*) AS row_count
            FROM edition.fact_sale
            WHERE {condition.sql}
            GROUP BY key
            ORDER BY {order_by}
            LIMIT ? OFFSET ?
        ) g
        ORDER BY {order_by}"""  # noqa: S608
    return Statement(sql, (*condition.parameters, window.limit, window.offset))
