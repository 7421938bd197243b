"""Listings of sales: filters, orders and pages, as plain Python would have them."""

import operator
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from retail.sales.v1 import sales_service_pb2 as pb
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceStub

from mesh import aip
from mesh.testing import Served
from services.database import Database
from services.sales.domain.sale import Item, NewSale, Sale
from services.sales.rpc import FILTER_FIELDS
from services.sales.store.sales import SaleStore
from tests.calls import all_rows, refused
from tests.filters import filters, holds, written

NOON = datetime(2011, 5, 31, 12, tzinfo=UTC)
TOTALS = ["0", "0.0001", "1", "2.5", "2.5001", "99999999999999.9999"]
COUNTRIES = ["France", "United Kingdom", "Côte d'Ivoire"]
CUSTOMERS = ["", "17850", "12583"]
CURRENCIES = ["GBP", "EUR"]
MOMENTS = [NOON + timedelta(seconds=number, microseconds=number % 2) for number in range(4)]

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "customer_id": st.sampled_from(CUSTOMERS),
    "country": st.sampled_from([*COUNTRIES, "Spain"]),
    "state": st.sampled_from(["SALE_STATE_RECORDED", "SALE_STATE_CANCELLED"]),
    "create_time": st.sampled_from(MOMENTS) | st.datetimes(timezones=st.just(UTC)),
    # A filter's numbers are finer than any total.
    "total": st.builds(
        operator.add, st.sampled_from(TOTALS).map(Decimal), st.sampled_from(["0", "0.00004", "-0.00005"]).map(Decimal)
    )
    | st.decimals(0, 10**18 - 1, places=9),
    "currency_code": st.sampled_from(CURRENCIES),
}
FILTERS = filters(FILTER_FIELDS, VALUES)
ORDERS = st.permutations(["create_time", "total"]).flatmap(
    lambda fields: st.lists(st.booleans(), max_size=2).map(
        lambda descending: [aip.Order(*order) for order in zip(fields, descending, strict=False)]
    )
)


def some_sales() -> list[Sale]:
    """Many of them equal in time, in total or in both."""
    chosen = random.Random(5)
    return [
        Sale.record(
            NewSale(
                chosen.choice(CUSTOMERS),
                chosen.choice(COUNTRIES),
                [Item("A", "", 1, Decimal(chosen.choice(TOTALS)), chosen.choice(CURRENCIES))],
            ),
            sale_id=UUID(int=chosen.getrandbits(128), version=4),
            at=chosen.choice(MOMENTS),
        )
        for _ in range(60)
    ]


def ordered(sales: Sequence[Sale], orders: Sequence[aip.Order]) -> list[Sale]:
    """Equals by id, in the direction of the last order."""
    orders = orders or [aip.Order("create_time", descending=True)]
    rows = list(sales)
    for order in reversed([*orders, aip.Order("sale_id", orders[-1].descending)]):
        rows.sort(key=lambda sale: getattr(sale, order.field), reverse=order.descending)
    return rows


def row(sale: Sale) -> SimpleNamespace:
    """The sale as a filter names its fields."""
    return SimpleNamespace(**vars(sale) | {"state": f"SALE_STATE_{sale.state.value}"})


@pytest_asyncio.fixture(scope="module")
async def known(service: tuple[Served, Database]) -> list[Sale]:
    """The sales that there are: kept by the store, so that their times are known."""
    _, database = service
    sales = some_sales()
    for sale in sales:
        await SaleStore(database).record(sale, uuid4(), b"fingerprint")
    return sales


async def listed(sales: SalesServiceStub, **fields: Any) -> list[str]:
    async def ask(token: str) -> pb.ListSalesResponse:
        return await sales.ListSales(pb.ListSalesRequest(page_token=token, **fields))

    return [sale.sale_id for sale in await all_rows(ask, "sales")]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FILTERS, ORDERS, st.integers(1, 20))
async def test_pages_neither_repeat_nor_omit_nor_disorder(
    sales: SalesServiceStub, known: list[Sale], condition: aip.Filter | None, orders: list[aip.Order], size: int
) -> None:
    expected = ordered([sale for sale in known if holds(condition, row(sale))], orders)
    found = await listed(sales, filter=written(condition), order_by=", ".join(map(str, orders)), page_size=size)
    assert found == [str(sale.sale_id) for sale in expected]


async def test_the_newest_come_first_and_fifty_a_page(sales: SalesServiceStub, known: list[Sale]) -> None:
    page = await sales.ListSales(pb.ListSalesRequest())
    times = [sale.create_time.ToDatetime(UTC) for sale in page.sales]
    assert (len(times), times) == (50, sorted(times, reverse=True))
    assert len((await sales.ListSales(pb.ListSalesRequest(page_size=2**31 - 1))).sales) == len(known)


async def test_listed_sales_are_whole(sales: SalesServiceStub, known: list[Sale]) -> None:
    for sale in (await sales.ListSales(pb.ListSalesRequest(page_size=3))).sales:
        assert sale == (await sales.GetSale(pb.GetSaleRequest(sale_id=sale.sale_id))).sale


async def test_no_match_is_an_empty_list(sales: SalesServiceStub, known: list[Sale]) -> None:
    assert await sales.ListSales(pb.ListSalesRequest(filter="country = Spain")) == pb.ListSalesResponse()


@pytest.mark.parametrize(
    "wanted",
    [
        'country = "France\'; DROP TABLE sales.sale; --"',
        'customer_id = "\' OR 1=1"',
        "country = '%'",
        'country = "\\\\"',
    ],
)
async def test_a_value_is_never_sql(sales: SalesServiceStub, known: list[Sale], wanted: str) -> None:
    assert await listed(sales, filter=wanted) == []
    assert len(await listed(sales)) == len(known)


async def test_a_filter_as_long_as_the_contract_allows(sales: SalesServiceStub, known: list[Sale]) -> None:
    wanted = " OR ".join(["total=1"] * 372)
    assert 4085 < len(wanted) <= 4096
    expected = {str(sale.sale_id) for sale in known if sale.total == 1}
    assert set(await listed(sales, filter=wanted)) == expected


# Pages


async def test_a_page_token_belongs_to_its_query(sales: SalesServiceStub, known: list[Sale]) -> None:
    request = pb.ListSalesRequest(page_size=5, filter="total < 100", order_by="total")
    token = (await sales.ListSales(request)).next_page_token
    for other in (
        pb.ListSalesRequest(filter="total < 101", order_by="total"),
        pb.ListSalesRequest(filter="total < 100", order_by="total desc"),
        pb.ListSalesRequest(filter="total < 100"),
        pb.ListSalesRequest(),
    ):
        other.page_token = token
        refusal = await refused(sales.ListSales(other))
        assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")
    request.page_size, request.page_token = 7, token
    assert len((await sales.ListSales(request)).sales) == 7


@pytest.mark.parametrize(
    "cursor",
    [
        [],
        ["2011-05-31T12:00:00Z"],
        ["2011-05-31T12:00:00Z", "not a UUID"],
        ["2011-05-31T12:00:00", str(uuid4())],
        [1, str(uuid4())],
        ["2011-05-31T12:00:00Z", 1],
        ["2011-05-31T12:00:00Z", str(uuid4()), str(uuid4())],
        ["99999-05-31T12:00:00Z", str(uuid4())],
    ],
)
async def test_page_tokens_that_somebody_made_up_are_refused(sales: SalesServiceStub, cursor: list[str | int]) -> None:
    request = pb.ListSalesRequest()
    request.page_token = aip.page_token(request, cursor)
    assert (await refused(sales.ListSales(request))).reason == "PAGE_TOKEN_INVALID"


async def test_a_made_up_place_is_a_place(sales: SalesServiceStub, known: list[Sale]) -> None:
    """Whoever writes a token himself chooses where his own query begins, and no more."""
    for moment, count in (("0001-01-01T00:00:00Z", 0), ("9999-12-31T23:59:59Z", len(known))):
        request = pb.ListSalesRequest(page_size=500)
        request.page_token = aip.page_token(request, [moment, str(uuid4())])
        assert len((await sales.ListSales(request)).sales) == count


# Refusals


@pytest.mark.parametrize(
    ("request_message", "reason", "field"),
    [
        (pb.ListSalesRequest(page_size=-1), "INVALID_REQUEST", "page_size"),
        (pb.ListSalesRequest(filter="x" * 4097), "INVALID_REQUEST", "filter"),
        (pb.ListSalesRequest(order_by="x" * 257), "INVALID_REQUEST", "order_by"),
        (pb.ListSalesRequest(page_token="x" * 1025), "INVALID_REQUEST", "page_token"),
        (pb.ListSalesRequest(filter="sale_id = 1"), "FILTER_INVALID", "filter"),
        (pb.ListSalesRequest(filter="state = RECORDED"), "FILTER_INVALID", "filter"),
        (pb.ListSalesRequest(filter="state = SALE_STATE_UNSPECIFIED"), "FILTER_INVALID", "filter"),
        (pb.ListSalesRequest(filter="total > 1e3"), "FILTER_INVALID", "filter"),
        (pb.ListSalesRequest(filter='country = "\x00"'), "FILTER_INVALID", "filter"),
        (pb.ListSalesRequest(order_by="country"), "ORDER_BY_INVALID", "order_by"),
        (pb.ListSalesRequest(order_by="total desc, total"), "ORDER_BY_INVALID", "order_by"),
        (pb.ListSalesRequest(page_token="nonsense"), "PAGE_TOKEN_INVALID", "page_token"),
    ],
)
async def test_bad_input_is_refused_by_field(
    sales: SalesServiceStub, request_message: pb.ListSalesRequest, reason: str, field: str
) -> None:
    refusal = await refused(sales.ListSales(request_message))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", reason)
    assert [path for path, _ in refusal.fields] == [field]
