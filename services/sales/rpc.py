"""The gRPC adapter of sales."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

import grpc
from mesh.v1.error_reason_pb2 import ErrorReason as MeshErrorReason
from retail.sales.v1 import sales_service_pb2 as messages
from retail.sales.v1.error_reason_pb2 import ErrorReason
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceServicer

import mesh
from mesh import aip
from services.database import StoreUnavailableError
from services.sales.domain.errors import (
    CurrenciesMixedError,
    CurrencyUnknownError,
    RequestIdReusedError,
    SaleNotFoundError,
    TotalTooLargeError,
)
from services.sales.domain.sale import TOTAL_LIMIT, Sale
from services.sales.messages import STATES, new_sale, sale_message
from services.sales.store.sales import SaleStore

MESSAGE_BYTES = 16 * 1024 * 1024
"""Room for a sale of 10,000 lines with the longest texts that the contract allows."""

_RETRY_SECONDS = 1.0
_FIELDS_NAMED = 20  # an error travels in the trailers, which hold 8 KiB

FILTER_FIELDS = {
    "customer_id": aip.TEXT,
    "country": aip.TEXT,
    "state": aip.enumeration({messages.SaleState.Name(number): state.value for state, number in STATES.items()}),
    "create_time": aip.TIMESTAMP,
    "total": aip.DECIMAL,
    "currency_code": aip.TEXT,
}
_NEWEST_FIRST = [aip.Order("create_time", descending=True)]
_CURSOR_READERS = {"create_time": aip.TIMESTAMP.read, "total": aip.DECIMAL.read}
_CURSOR_WRITERS: Mapping[str, Callable[[Sale], str]] = {
    "create_time": lambda sale: sale.create_time.isoformat(),
    "total": lambda sale: f"{sale.total:f}",
}

error = mesh.errors(ErrorReason)
mesh_error = mesh.errors(MeshErrorReason)

Context = grpc.aio.ServicerContext[Any, Any]


class SalesRpc(SalesServiceServicer):
    def __init__(self, store: SaleStore) -> None:
        self._store = store

    async def RecordSale(self, request: messages.RecordSaleRequest, context: Context) -> messages.RecordSaleResponse:
        with _contract_errors():
            new = new_sale(request.sale)
            sale = Sale.record(new, sale_id=uuid4(), at=datetime.now(UTC))
            kept = await self._store.record(sale, UUID(request.request_id), new.fingerprint())
            return messages.RecordSaleResponse(sale=sale_message(kept))

    async def GetSale(self, request: messages.GetSaleRequest, context: Context) -> messages.GetSaleResponse:
        with _contract_errors():
            return messages.GetSaleResponse(sale=sale_message(await self._store.get(UUID(request.sale_id))))

    async def ListSales(self, request: messages.ListSalesRequest, context: Context) -> messages.ListSalesResponse:
        wanted = aip.parse_filter(request.filter, FILTER_FIELDS)
        orders = aip.parse_order_by(request.order_by, _CURSOR_READERS) or _NEWEST_FIRST
        cursor = aip.read_page_token(request, *(_CURSOR_READERS[order.field] for order in orders), UUID)
        size = aip.page_size(request.page_size, default=50, maximum=500)
        with _contract_errors():
            page = await self._store.page(wanted, orders, cursor, size)
        return messages.ListSalesResponse(
            sales=[sale_message(sale) for sale in page.sales],
            next_page_token=_page_token(request, orders, page.sales[-1]) if page.more else "",
        )


def _page_token(request: messages.ListSalesRequest, orders: list[aip.Order], last: Sale) -> str:
    return aip.page_token(request, [*(_CURSOR_WRITERS[order.field](last) for order in orders), str(last.sale_id)])


@contextlib.contextmanager
def _contract_errors() -> Iterator[None]:
    """Raises what the domain and the store raise as the contract has it."""
    try:
        yield
    except SaleNotFoundError as refused:
        raise error(ErrorReason.ERROR_REASON_SALE_NOT_FOUND, sale_id=refused.sale_id) from None
    except RequestIdReusedError as refused:
        raise error(ErrorReason.ERROR_REASON_REQUEST_ID_REUSED, request_id=refused.request_id) from None
    except CurrencyUnknownError as refused:
        raise error(
            ErrorReason.ERROR_REASON_CURRENCY_UNKNOWN,
            currency_code=refused.currency_code,
            fields=_price_fields(refused.lines),
        ) from None
    except CurrenciesMixedError as refused:
        raise error(
            ErrorReason.ERROR_REASON_CURRENCIES_MIXED,
            currencies=",".join(refused.currencies),
            fields=_price_fields(refused.lines),
        ) from None
    except TotalTooLargeError:
        raise mesh_error(
            MeshErrorReason.ERROR_REASON_INVALID_REQUEST,
            fields={"sale.lines": f"must have a total below {TOTAL_LIMIT}"},
        ) from None
    except StoreUnavailableError:
        raise error(ErrorReason.ERROR_REASON_STORE_UNAVAILABLE, retry_after=_RETRY_SECONDS) from None


def _price_fields(lines: Mapping[int, str]) -> dict[str, str]:
    named = islice(lines.items(), _FIELDS_NAMED)
    return {f"sale.lines[{index}].unit_price.currency_code": problem for index, problem in named}
