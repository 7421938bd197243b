"""The tables. `sale` and `sale_line` are a view of sales for readers; `request` is what makes recording idempotent.

A writer of events can replace how the first two are filled without a change to those who read them.
"""

from pathlib import Path

from sqlalchemy import BigInteger, Column, DateTime, Integer, LargeBinary, MetaData, Numeric, Table, Text, Uuid

SCHEMA = "sales"
MIGRATIONS = Path(__file__).parent / "migrations"

PRICE = Numeric(18, 4)
AMOUNT = Numeric(24, 4)
TIME = DateTime(timezone=True)

metadata = MetaData(schema=SCHEMA)

request = Table(
    "request",
    metadata,
    Column("request_id", Uuid, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("sale_id", Uuid, nullable=False),
    Column("create_time", TIME, nullable=False),
)

sale = Table(
    "sale",
    metadata,
    Column("sale_id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("country", Text, nullable=False),
    Column("currency_code", Text, nullable=False),
    Column("total", AMOUNT, nullable=False),
    Column("line_count", Integer, nullable=False),
    Column("create_time", TIME, nullable=False),
    Column("update_time", TIME, nullable=False),
)

sale_line = Table(
    "sale_line",
    metadata,
    Column("sale_id", Uuid, primary_key=True),
    Column("line_number", Integer, primary_key=True),
    Column("stock_code", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("unit_price", PRICE, nullable=False),
    Column("amount", AMOUNT, nullable=False),
)
