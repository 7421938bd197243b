"""What the service answers equals what plain Python computes from the same rows, whatever they are."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from google.type.date_pb2 import Date
from google.type.money_pb2 import Money
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from retail.analytics.v1 import analytics_service_pb2 as pb
from retail.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceStub

import mesh.testing
from mesh import aip
from services.analytics.bootstrap import bootstrap
from services.analytics.filters import FILTER_FIELDS
from services.analytics.settings import Settings
from services.money import from_money
from tests.analytics import reference
from tests.calls import all_rows
from tests.filters import filters, holds, written
from tests.gold_lake import Fact, GoldLake

GROUPINGS = {
    "month": pb.REVENUE_GROUPING_MONTH,
    "country": pb.REVENUE_GROUPING_COUNTRY,
    "product": pb.REVENUE_GROUPING_PRODUCT,
    "customer": pb.REVENUE_GROUPING_CUSTOMER,
}
DAYS = st.dates(date(2010, 12, 1), date(2011, 3, 31))
STOCK_CODES = st.sampled_from(["85123A", "85123a", "22423", "POST", "M", "O'Neill; DROP TABLE fact_sale"])
COUNTRIES = st.sampled_from(["France", "United Kingdom", "EIRE", 'Côte "d\'Ivoire"'])
CUSTOMERS = st.sampled_from(["17850", "12583", "13047"])
KINDS = st.sampled_from(["SALE", "SALE", "CANCELLATION", "ADJUSTMENT"])
FACTS = st.lists(
    st.builds(
        Fact,
        invoice_no=st.sampled_from(["536365", "536366", "C536379", "A563185"]),
        kind=KINDS,
        date=DAYS,
        stock_code=STOCK_CODES,
        is_product=st.booleans(),
        customer_id=st.none() | CUSTOMERS,
        country=COUNTRIES,
        quantity=st.integers(-80_995, 80_995),
        unit_price=st.decimals(0, 99_999, places=4),
    ),
    max_size=30,
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "month": DAYS.map(lambda day: f"{day:%Y-%m}"),
    "date": DAYS,
    "country": COUNTRIES,
    "stock_code": STOCK_CODES,
    "customer_id": CUSTOMERS | st.just(""),
    "kind": KINDS,
}
FILTERS = filters(FILTER_FIELDS, VALUES)


@contextmanager
def empty_lake() -> Iterator[GoldLake]:
    with tempfile.TemporaryDirectory() as folder:
        yield GoldLake(Path(folder) / "lake")


@asynccontextmanager
async def answering(facts: list[Fact]) -> AsyncIterator[AnalyticsServiceStub]:
    with empty_lake() as lake:
        lake.write_facts(facts)
        async with (
            bootstrap(Settings(lake.uri)) as rpc,
            mesh.testing.serving(rpc) as server,
            server.channel(permissions={"analytics.read"}) as channel,
        ):
            yield AnalyticsServiceStub(channel)


def group(row: pb.RevenueRow) -> reference.Group:
    return reference.Group(row.key, from_money(row.revenue), row.quantity, row.invoice_count, row.row_count)


def optional(message: Any, name: str) -> Any:
    """A field as Python has it; None if it is unset."""
    value = getattr(message, name)
    if isinstance(value, Money):
        return from_money(value) if message.HasField(name) else None
    if isinstance(value, Date):
        return date(value.year, value.month, value.day) if message.HasField(name) else None
    return value


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(FACTS, FILTERS, st.integers(1, 5))
async def test_figures_equal_the_plain_computation(facts: list[Fact], condition: aip.Filter | None, size: int) -> None:
    left = [fact for fact in facts if holds(condition, fact)]
    async with answering(facts) as analytics:
        for name, grouping in GROUPINGS.items():
            request = pb.QueryRevenueRequest(
                group_by=grouping, filter=written(condition), order_by="key", page_size=size
            )

            async def ask(token: str, request: pb.QueryRevenueRequest = request) -> pb.QueryRevenueResponse:
                request.page_token = token
                return await analytics.QueryRevenue(request)

            assert [group(row) for row in await all_rows(ask, "rows")] == reference.groups(left, name)
        answer = await analytics.GetKpis(pb.GetKpisRequest(filter=written(condition)))
        expected = reference.kpis(left) | ({} if facts else {"revenue": None})
        assert {name: optional(answer.kpis, name) for name in expected} == expected


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(FACTS, FILTERS, st.sampled_from(["revenue", "quantity"]), st.integers(1, 3))
async def test_top_products_are_ranked(facts: list[Fact], condition: aip.Filter | None, by: str, size: int) -> None:
    left = [fact for fact in facts if fact.is_product and holds(condition, fact)]
    expected = reference.ordered(reference.groups(left, "product"), by, descending=True)
    async with answering(facts) as analytics:

        async def ask(token: str) -> pb.ListTopProductsResponse:
            return await analytics.ListTopProducts(
                pb.ListTopProductsRequest(
                    filter=written(condition), order_by=f"{by} desc", page_size=size, page_token=token
                )
            )

        products = await all_rows(ask, "products")
    assert [product.rank for product in products] == list(range(1, len(expected) + 1))
    assert [
        (product.stock_code, from_money(product.revenue), product.quantity, product.invoice_count)
        for product in products
    ] == [(row.key, row.revenue, row.quantity, row.invoice_count) for row in expected]


@pytest.mark.parametrize("field", ["key", "revenue", "quantity", "invoice_count"])
@pytest.mark.parametrize("descending", [False, True])
async def test_rows_come_in_the_order_asked_for_and_equals_by_key(
    lake: GoldLake, analytics: AnalyticsServiceStub, field: str, descending: bool
) -> None:
    facts = [
        Fact(country=country, quantity=number % 3, invoice_no=str(number % 5), unit_price=Decimal(1 + number % 2))
        for number in range(40)
        for country in ("France", "EIRE", "Spain", "Åland")[: 1 + number % 4]
    ]
    lake.write_facts(facts)
    answer = await analytics.QueryRevenue(
        pb.QueryRevenueRequest(group_by=pb.REVENUE_GROUPING_COUNTRY, order_by=f"{field} desc" if descending else field)
    )
    expected = reference.ordered(reference.groups(facts, "country"), field, descending=descending)
    assert [group(row) for row in answer.rows] == expected
