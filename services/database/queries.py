"""Filters, orders and cursors of list methods (mesh.aip) as SQL."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Numeric, and_, literal, not_, or_, true

from mesh import aip

_OPERATORS: Mapping[aip.Operator, Callable[[Any, Any], Any]] = {
    aip.Operator.EQUAL: operator.eq,
    aip.Operator.NOT_EQUAL: operator.ne,
    aip.Operator.LESS: operator.lt,
    aip.Operator.LESS_OR_EQUAL: operator.le,
    aip.Operator.GREATER: operator.gt,
    aip.Operator.GREATER_OR_EQUAL: operator.ge,
}


@dataclass(frozen=True)
class SortKey:
    """One part of an order. The last key of an order is unique, or pages would lose rows."""

    column: ColumnElement[Any]
    descending: bool = False


def condition(wanted: aip.Filter | None, columns: Mapping[str, ColumnElement[Any]]) -> ColumnElement[bool]:
    """What the filter says of these columns, none of which is NULL; every value is bound, not written."""
    match wanted:
        case None:
            return true()
        case aip.Comparison(field, chosen, value):
            compared: ColumnElement[bool] = _OPERATORS[chosen](columns[field], _bound(value))
            return compared
        case aip.And(parts):
            return and_(*(condition(part, columns) for part in parts))
        case aip.Or(parts):
            return or_(*(condition(part, columns) for part in parts))
        case aip.Not(part):
            return not_(condition(part, columns))


def _bound(value: aip.Value) -> Any:
    """Of the value's own type: as the column's, a number would be rounded to the column's scale first."""
    return literal(value, Numeric) if isinstance(value, Decimal) else value


def ordering(keys: Sequence[SortKey]) -> list[ColumnElement[Any]]:
    """For ORDER BY."""
    return [key.column.desc() if key.descending else key.column.asc() for key in keys]


def after(keys: Sequence[SortKey], cursor: Sequence[Any] | None) -> ColumnElement[bool]:
    """The rows behind the row whose key is `cursor`; all of them for None.

    (a, b) behind (x, y) is: a behind x, or a = x and b behind y. That a is not before x is said once more on its own,
    because an index can follow that and not the rest.
    """
    if cursor is None:
        return true()
    steps: list[ColumnElement[bool]] = []
    equal: list[ColumnElement[bool]] = []
    for key, value in zip(keys, cursor, strict=True):
        behind: ColumnElement[bool] = key.column < value if key.descending else key.column > value
        steps.append(and_(*equal, behind))
        equal.append(key.column == value)
    first = keys[0].column <= cursor[0] if keys[0].descending else keys[0].column >= cursor[0]
    return and_(first, or_(*steps))
