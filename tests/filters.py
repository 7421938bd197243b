"""Filters (AIP-160): random ones, and what one says of a Python object."""

import operator
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st

from mesh import aip

_COMPARE: dict[aip.Operator, Callable[[Any, Any], bool]] = {
    aip.Operator.EQUAL: operator.eq,
    aip.Operator.NOT_EQUAL: operator.ne,
    aip.Operator.LESS: operator.lt,
    aip.Operator.LESS_OR_EQUAL: operator.le,
    aip.Operator.GREATER: operator.gt,
    aip.Operator.GREATER_OR_EQUAL: operator.ge,
}


def filters(
    fields: Mapping[str, aip.FieldType], values: Mapping[str, st.SearchStrategy[Any]]
) -> st.SearchStrategy[aip.Filter | None]:
    """Filters that compare the fields with these values, and none."""
    comparisons = st.sampled_from(sorted(fields)).flatmap(
        lambda field: st.builds(
            aip.Comparison, st.just(field), st.sampled_from(sorted(fields[field].operators)), values[field]
        )
    )
    return st.none() | st.recursive(
        comparisons,
        lambda inner: st.one_of(
            st.builds(aip.Not, inner),
            st.builds(aip.And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
            st.builds(aip.Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        ),
        max_leaves=5,
    )


def written(condition: aip.Filter | None) -> str:
    """As a request has it."""
    return "" if condition is None else str(condition)


def holds(condition: aip.Filter | None, row: object) -> bool:
    """Whether the filter lets the row through; its fields are the row's attributes, and None is as ''."""
    match condition:
        case None:
            return True
        case aip.Comparison(field, compare, value):
            mine = getattr(row, field)
            return _COMPARE[compare]("" if mine is None else mine, value)
        case aip.Not(part):
            return not holds(part, row)
        case aip.And(parts):
            return all(holds(part, row) for part in parts)
        case aip.Or(parts):
            return any(holds(part, row) for part in parts)
