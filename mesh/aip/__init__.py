"""The list methods' standard fields as Google's API improvement proposals have them: filter, order_by and pages.

    wanted = aip.parse_filter(request.filter, {"country": aip.TEXT, "total": aip.DECIMAL})
    orders = aip.parse_order_by(request.order_by, {"create_time", "total"})
    cursor = aip.read_page_token(request, datetime.fromisoformat, UUID)
    ...
    response.next_page_token = aip.page_token(request, [last.create_time.isoformat(), str(last.sale_id)])

Whatever a caller writes into these fields, nothing but the mesh's own contract errors is raised.
"""

from mesh.aip.fields import (
    BOOLEAN,
    DATE,
    DECIMAL,
    INTEGER,
    ORDERED_TEXT,
    TEXT,
    TIMESTAMP,
    FieldType,
    Operator,
    Value,
    enumeration,
)
from mesh.aip.filters import And, Comparison, Filter, Not, Or, parse_filter
from mesh.aip.orders import Order, parse_order_by
from mesh.aip.pages import page_size, page_token, read_page_token

__all__ = [
    "BOOLEAN",
    "DATE",
    "DECIMAL",
    "INTEGER",
    "ORDERED_TEXT",
    "TEXT",
    "TIMESTAMP",
    "And",
    "Comparison",
    "FieldType",
    "Filter",
    "Not",
    "Operator",
    "Or",
    "Order",
    "Value",
    "enumeration",
    "page_size",
    "page_token",
    "parse_filter",
    "parse_order_by",
    "read_page_token",
]
