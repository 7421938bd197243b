"""One edition of the gold tables, held in a DuckDB of its own that lives and dies with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow

from services.analytics.domain.analytics import Edition, Window
from services.analytics.domain.figures import Kpis, Revenue
from services.analytics.domain.questions import KpisQuestion, RevenueQuestion, TopProductsQuestion
from services.analytics.store import statements
from services.analytics.store.answers import Answers
from services.analytics.store.engine import Engine
from services.analytics.store.statements import Statement

FACT_COLUMNS = (
    "invoice_no",
    "kind",
    "date",
    "month",
    "stock_code",
    "is_product",
    "customer_id",
    "country",
    "quantity",
    "amount",
    "currency_code",
)
PRODUCT_COLUMNS = ("stock_code", "description")

# Compressed, a row takes a fraction of the 100 bytes it takes as it is, and grouping it no longer.
_ATTACH = "ATTACH ':memory:' AS edition (COMPRESS)"
_FACTS = """
    CREATE TABLE edition.fact_sale (
        invoice_no VARCHAR, kind VARCHAR, date DATE, month VARCHAR, stock_code VARCHAR, is_product BOOLEAN,
        customer_id VARCHAR, country VARCHAR, quantity INTEGER, amount DECIMAL(24, 4), currency_code VARCHAR
    )"""
_PRODUCTS = "CREATE TABLE edition.dim_product (stock_code VARCHAR, description VARCHAR)"
_FILL_FACTS = "INSERT INTO edition.fact_sale SELECT * REPLACE (coalesce(customer_id, '') AS customer_id) FROM rows"
_FILL_PRODUCTS = "INSERT INTO edition.dim_product FROM rows WHERE description <> ''"
_CURRENCIES = "SELECT DISTINCT currency_code FROM edition.fact_sale ORDER BY ALL"


class MixedCurrenciesError(Exception):
    """The facts are in several currencies, whose amounts have no sum."""


@dataclass(frozen=True)
class Limits:
    """What one edition may use."""

    memory_mib: int
    spill_folder: Path
    """Where what does not fit into memory goes."""
    cached_rows: int


class EditionFacts:
    """The facts of one edition; answers that were given are kept and given again."""

    def __init__(self, edition: Edition, database: duckdb.DuckDBPyConnection, engine: Engine, limits: Limits) -> None:
        self.edition = edition
        self.currency_code = _currency_code(database)
        self._database = database
        self._engine = engine
        self._answers = Answers(limits.cached_rows)

    @classmethod
    def load(
        cls,
        edition: Edition,
        facts: pyarrow.RecordBatchReader | None,
        products: pyarrow.Table | None,
        engine: Engine,
        limits: Limits,
    ) -> EditionFacts:
        """Copies the rows of FACT_COLUMNS and PRODUCT_COLUMNS; None: the table does not exist. Blocks.

        Raises duckdb.InvalidInputException if the stream of facts fails, MixedCurrenciesError.
        """
        database = duckdb.connect(
            config={"memory_limit": f"{limits.memory_mib}MiB", "temp_directory": str(limits.spill_folder)}
        )
        for statement in (_ATTACH, _FACTS, _PRODUCTS):
            database.execute(statement)
        for fill, rows in ((_FILL_FACTS, facts), (_FILL_PRODUCTS, products)):
            if rows is not None:
                database.register("rows", rows)
                database.execute(fill)
                database.unregister("rows")
        database.execute("CHECKPOINT edition")
        return cls(edition, database, engine, limits)

    async def revenue(self, question: RevenueQuestion, window: Window) -> Sequence[Revenue]:
        return [Revenue(*row) for row in await self._rows(statements.revenue(question, window))]

    async def top_products(self, question: TopProductsQuestion, window: Window) -> Sequence[Revenue]:
        return [Revenue(*row) for row in await self._rows(statements.top_products(question, window))]

    async def kpis(self, question: KpisQuestion) -> Kpis:
        (row,) = await self._rows(statements.kpis(question))
        return Kpis(*row)

    async def _rows(self, statement: Statement) -> Sequence[tuple[Any, ...]]:
        return await self._answers.get(statement, lambda: self._engine.query(self._database, statement))


def _currency_code(database: duckdb.DuckDBPyConnection) -> str:
    codes = [code for (code,) in database.execute(_CURRENCIES).fetchall()]
    if len(codes) > 1:
        raise MixedCurrenciesError(", ".join(map(str, codes)))
    return str(codes[0]) if codes else ""
