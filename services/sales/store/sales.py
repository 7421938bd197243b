"""Sales in PostgreSQL. Every method raises StoreUnavailableError when the database is away."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, bindparam, func, insert, select, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import aip
from services.database import Database, SortKey, after, condition, ordering
from services.sales.domain.errors import RequestIdReusedError, SaleNotFoundError
from services.sales.domain.sale import Line, Sale, SaleState
from services.sales.store.tables import request, sale, sale_line

PAGE_LINES = 10_000
"""A page of a listing ends early once its sales have this many lines together, so that it stays a message."""

FILTERABLE = {
    name: sale.c[name] for name in ("customer_id", "country", "state", "create_time", "total", "currency_code")
}
ORDERABLE = {name: sale.c[name] for name in ("create_time", "total")}

_SALE = (
    "version",
    "state",
    "customer_id",
    "country",
    "currency_code",
    "total",
    "line_count",
    "create_time",
    "update_time",
)
_LINE = ("line_number", "stock_code", "description", "quantity", "unit_price", "amount")


@dataclass(frozen=True)
class Page:
    sales: Sequence[Sale]
    more: bool
    """Whether there are rows behind the last one."""


class SaleStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, new: Sale, request_id: UUID, fingerprint: bytes) -> Sale:
        """Keeps the sale unless this request has been kept before; returns the one that is kept for it.

        However many times and by however many callers at once a request is repeated, one sale comes of it. Raises
        RequestIdReusedError if the request was kept with another fingerprint.
        """
        values = {"request_id": request_id, "fingerprint": fingerprint, "sale_id": new.sale_id}
        async with self._database.reading() as connection:  # one statement, so one transaction and one round trip
            kept = await connection.execute(_RECORD, values | _sale_values(new) | _line_values(new.lines))
            if kept.first() is not None:
                return new
            # Another call has kept it. Its commit was waited for by ON CONFLICT, so a new statement sees it.
            known = await connection.execute(select(request).where(request.c.request_id == request_id))
            row = known.mappings().one()
            if row["fingerprint"] != fingerprint:
                raise RequestIdReusedError(request_id)
            return await self._get(connection, row["sale_id"])

    async def get(self, sale_id: UUID) -> Sale:
        """Raises SaleNotFoundError."""
        async with self._database.reading() as connection:
            return await self._get(connection, sale_id)

    async def page(
        self, wanted: aip.Filter | None, orders: Sequence[aip.Order], cursor: Sequence[Any] | None, size: int
    ) -> Page:
        """At most `size` sales behind the cursor, which holds the values of `orders` and the sale_id."""
        keys = sort_keys(orders)
        statement = (
            select(sale)
            .where(condition(wanted, FILTERABLE), after(keys, cursor))
            .order_by(*ordering(keys))
            .limit(size + 1)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).mappings().all()
            chosen = _fitting(rows[:size])
            return Page(await self._with_lines(connection, chosen), more=len(rows) > len(chosen))

    async def _get(self, connection: AsyncConnection, sale_id: UUID) -> Sale:
        rows = (await connection.execute(select(sale).where(sale.c.sale_id == sale_id))).mappings().all()
        if not rows:
            raise SaleNotFoundError(sale_id)
        return (await self._with_lines(connection, rows))[0]

    async def _with_lines(self, connection: AsyncConnection, rows: Sequence[RowMapping]) -> list[Sale]:
        lines: dict[UUID, list[Line]] = {row["sale_id"]: [] for row in rows}
        found = await connection.execute(_LINES, {"sale_ids": list(lines)})
        for sale_id, *columns in found:
            lines[sale_id].append(Line(*columns))
        return [_sale(row, lines[row["sale_id"]]) for row in rows]


def sort_keys(orders: Sequence[aip.Order]) -> list[SortKey]:
    """The order that is asked for, made total by the sale_id."""
    keys = [SortKey(ORDERABLE[order.field], order.descending) for order in orders]
    return [*keys, SortKey(sale.c.sale_id, keys[-1].descending)]


def _fitting(rows: Sequence[RowMapping]) -> Sequence[RowMapping]:
    lines = 0
    for count, row in enumerate(rows):
        lines += row["line_count"]
        if lines > PAGE_LINES and count > 0:
            return rows[:count]
    return rows


def _sale(row: RowMapping, lines: Sequence[Line]) -> Sale:
    values = {name: row[name] for name in _SALE if name != "line_count"}
    return Sale(sale_id=row["sale_id"], lines=tuple(lines), **values | {"state": SaleState(row["state"])})


def _sale_values(new: Sale) -> dict[str, str | int | Decimal | datetime]:
    return {
        "version": new.version,
        "state": new.state.value,
        "customer_id": new.customer_id,
        "country": new.country,
        "currency_code": new.currency_code,
        "total": new.total,
        "line_count": len(new.lines),
        "create_time": new.create_time,
        "update_time": new.update_time,
    }


def _line_values(lines: Sequence[Line]) -> dict[str, list[Any]]:
    """One array for each column of `sale_line`, named as the column with `lines_` before it."""
    columns = zip(
        *((x.number, x.stock_code, x.description, x.quantity, x.unit_price, x.amount) for x in lines), strict=True
    )
    return {f"lines_{name}": list(values) for name, values in zip(_LINE, columns, strict=True)}


def _record_statement() -> Any:
    """Claims the request, and only if that succeeds inserts the sale and its lines; returns a row if it did."""
    claimed = (
        upsert(request)
        .values({column: bindparam(column.name, type_=column.type) for column in request.c})
        .on_conflict_do_nothing()
        .returning(request.c.sale_id)
        .cte("claimed")
    )
    header = insert(sale).from_select(
        ["sale_id", *_SALE], select(claimed.c.sale_id, *(bindparam(name, type_=sale.c[name].type) for name in _SALE))
    )
    arrays = [bindparam(f"lines_{name}", type_=ARRAY(sale_line.c[name].type)) for name in _LINE]
    given = func.unnest(*arrays).table_valued(*_LINE, name="given").render_derived()
    lines = insert(sale_line).from_select(
        ["sale_id", *_LINE],
        select(claimed.c.sale_id, *(given.c[name] for name in _LINE)).join_from(claimed, given, true()),
    )
    return select(claimed.c.sale_id).add_cte(header.cte("header"), lines.cte("lines"))


_RECORD = _record_statement()
_LINES = (
    select(sale_line.c.sale_id, *(sale_line.c[name] for name in _LINE))
    .where(sale_line.c.sale_id == func.any(bindparam("sale_ids", type_=ARRAY(sale_line.c.sale_id.type))))
    .order_by(sale_line.c.sale_id, sale_line.c.line_number)
)
