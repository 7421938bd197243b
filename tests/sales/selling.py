"""Sales as the tests make them, and the service that they make them with."""

import contextlib
from collections.abc import AsyncIterator
from decimal import Decimal
from uuid import uuid4

from google.type.money_pb2 import Money
from retail.sales.v1 import sales_service_pb2 as pb

from mesh.testing import Served, serving
from services import database
from services.database import Database, DatabaseSettings
from services.money import to_money
from services.sales.rpc import MESSAGE_BYTES, SalesRpc
from services.sales.store.sales import SaleStore
from services.sales.store.tables import MIGRATIONS, SCHEMA

PERMISSIONS = {"sales.read", "sales.write"}


def settings(url: str, pool_size: int = 5) -> DatabaseSettings:
    return DatabaseSettings.from_environment({"DATABASE_URL": url, "DATABASE_POOL_SIZE": str(pool_size)})


@contextlib.asynccontextmanager
async def serving_sales(settings: DatabaseSettings) -> AsyncIterator[tuple[Served, Database]]:
    """The service as its bootstrap puts it together, with its pool to look at."""
    async with (
        database.connected(settings, schema=SCHEMA, migrations=MIGRATIONS) as connected,
        serving(SalesRpc(SaleStore(connected)), message_bytes=MESSAGE_BYTES) as server,
    ):
        yield server, connected


def line(
    stock_code: str = "85123A",
    quantity: int = 6,
    price: str = "2.55",
    currency_code: str = "GBP",
    description: str = "WHITE HANGING HEART T-LIGHT HOLDER",
) -> pb.SaleLine:
    unit_price = to_money(Decimal(price), currency_code)
    return pb.SaleLine(stock_code=stock_code, description=description, quantity=quantity, unit_price=unit_price)


def recording(
    *lines: pb.SaleLine, request_id: str = "", customer_id: str = "17850", country: str = "United Kingdom"
) -> pb.RecordSaleRequest:
    """A request to record a sale, of one line unless told; with a request id of its own unless given."""
    sale = pb.Sale(customer_id=customer_id, country=country, lines=lines or [line()])
    return pb.RecordSaleRequest(sale=sale, request_id=request_id or str(uuid4()))


def money(amount: str, currency_code: str = "GBP") -> Money:
    return to_money(Decimal(amount), currency_code)
