"""What a `filter` can name. Columns of fact_sale have the same names; a customer whom nobody knows is ''."""

from mesh import aip

FILTER_FIELDS = {
    "month": aip.ORDERED_TEXT,
    "date": aip.DATE,
    "country": aip.TEXT,
    "stock_code": aip.TEXT,
    "customer_id": aip.TEXT,
    "kind": aip.enumeration(("SALE", "CANCELLATION", "ADJUSTMENT")),
}
