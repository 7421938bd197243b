"""The first row of a file: which of the dialect's columns is where."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from services.ingest.domain.errors import ColumnsMissingError, FileNotCsvError

COLUMNS = {
    "InvoiceNo": "invoice_no",
    "StockCode": "stock_code",
    "Description": "description",
    "Quantity": "quantity",
    "InvoiceDate": "invoice_date",
    "UnitPrice": "unit_price",
    "CustomerID": "customer_id",
    "Country": "country",
}
"""The dialect's columns, and what they are called from the landing area on."""

_ONLINE_RETAIL_II = {"invoice": "InvoiceNo", "price": "UnitPrice", "customer id": "CustomerID"}
_KNOWN = {name.lower(): name for name in COLUMNS} | _ONLINE_RETAIL_II


@dataclass(frozen=True)
class Header:
    width: int
    """How many fields a row has."""
    places: tuple[int, ...]
    """Where each of COLUMNS stands, in their order."""
    further: tuple[tuple[str, int], ...]
    """Name and place of each other column."""

    @classmethod
    def read(cls, fields: Sequence[str]) -> "Header":
        """Raises ColumnsMissingError, or FileNotCsvError if a column occurs twice."""
        names = [_KNOWN.get(field.strip().lower(), field.strip()) for field in fields]
        missing = [name for name in COLUMNS if name not in names]
        if missing:
            raise ColumnsMissingError(missing)
        twice = [name for name, count in Counter(names).items() if count > 1 and name]
        if twice:
            raise FileNotCsvError(f"the column {twice[0]:.64} occurs twice")
        places = tuple(names.index(name) for name in COLUMNS)
        others = tuple(
            (name or f"column {place + 1}", place) for place, name in enumerate(names) if place not in places
        )
        return cls(len(names), places, others)
