"""Reads the products from the lake's dim_product."""

from collections.abc import Sequence

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
        return [
            Product(row["stock_code"], row["description"] or "", row["unit_price"], row["units_sold"] or 0)
            for row in self._table.rows(version, _COLUMNS).to_pylist()
            if row["is_product"]
        ]
