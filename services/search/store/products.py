"""Reads the products from the lake's dim_product."""

from collections.abc import Sequence

from pyarrow import ArrowException

from services.gold import NOT_LOADED, GoldTable, Version
from services.lakehouse import DIM_PRODUCT, Lakehouse
from services.search.domain.products import Product

_COLUMNS = ("stock_code", "description", "is_product", "unit_price", "units_sold")


class LakeProducts:
    """Rows that are products; postage, fees and adjustments are not."""

    def __init__(self, lakehouse: Lakehouse) -> None:
        self._table = GoldTable(lakehouse, DIM_PRODUCT)

    def newest(self) -> Version:
        return self._table.newest()

    def at(self, version: Version) -> Sequence[Product]:
        if version == NOT_LOADED:
            return ()
        try:
            rows = self._table.read(version, _COLUMNS).read_all().to_pylist()
        except (ArrowException, OSError) as problem:
            raise self._table.unreadable(version) from problem
        return [
            Product(row["stock_code"], row["description"] or "", row["unit_price"], row["units_sold"] or 0)
            for row in rows
            if row["is_product"]
        ]
