"""The gRPC adapter of analytics."""

import contextlib
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from google.type.money_pb2 import Money
from mesh.v1.error_reason_pb2 import ErrorReason as MeshReason
from retail.analytics.v1 import analytics_service_pb2 as pb
from retail.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceServicer
from retail.analytics.v1.error_reason_pb2 import ErrorReason

import mesh
from mesh import aip
from services.analytics.domain.analytics import (
    Analytics,
    Edition,
    Facts,
    LakeAwayError,
    ListingExpiredError,
    Page,
    Place,
    Version,
)
from services.analytics.domain.figures import Kpis, Revenue
from services.analytics.domain.questions import (
    Grouping,
    KpisQuestion,
    Measure,
    Order,
    RevenueQuestion,
    TopProductsQuestion,
)
from services.analytics.filters import FILTER_FIELDS
from services.money import to_money

_GROUPINGS = {
    pb.REVENUE_GROUPING_MONTH: Grouping.MONTH,
    pb.REVENUE_GROUPING_COUNTRY: Grouping.COUNTRY,
    pb.REVENUE_GROUPING_PRODUCT: Grouping.PRODUCT,
    pb.REVENUE_GROUPING_CUSTOMER: Grouping.CUSTOMER,
}
_RETRY_SECONDS = 1.0

error = mesh.errors(ErrorReason)
mesh_error = mesh.errors(MeshReason)

Request = pb.QueryRevenueRequest | pb.ListTopProductsRequest
Context = grpc.aio.ServicerContext[Any, Any]


class AnalyticsRpc(AnalyticsServiceServicer):
    def __init__(self, analytics: Analytics) -> None:
        self._analytics = analytics

    async def QueryRevenue(self, request: pb.QueryRevenueRequest, context: Context) -> pb.QueryRevenueResponse:
        orders = aip.parse_order_by(request.order_by, {measure.value for measure in Measure})
        question = RevenueQuestion.ask(
            _GROUPINGS[request.group_by],
            aip.parse_filter(request.filter, FILTER_FIELDS),
            tuple(Order(Measure(order.field), order.descending) for order in orders),
        )
        size = aip.page_size(request.page_size, default=100, maximum=1000)
        with _failures():
            page = await self._analytics.revenue(question, size, _place(request))
        return pb.QueryRevenueResponse(
            rows=[_revenue(row, page.facts) for row in page.rows],
            next_page_token=_next_page_token(request, page),
            table_version=page.facts.edition.facts.number,
        )

    async def ListTopProducts(self, request: pb.ListTopProductsRequest, context: Context) -> pb.ListTopProductsResponse:
        question = TopProductsQuestion.ask(aip.parse_filter(request.filter, FILTER_FIELDS), _best_by(request.order_by))
        size = aip.page_size(request.page_size, default=10, maximum=100)
        with _failures():
            page = await self._analytics.top_products(question, size, _place(request))
        return pb.ListTopProductsResponse(
            products=[_product(rank, row, page.facts) for rank, row in enumerate(page.rows, page.offset + 1)],
            next_page_token=_next_page_token(request, page),
            table_version=page.facts.edition.facts.number,
        )

    async def GetKpis(self, request: pb.GetKpisRequest, context: Context) -> pb.GetKpisResponse:
        question = KpisQuestion(aip.parse_filter(request.filter, FILTER_FIELDS))
        with _failures():
            kpis, facts = await self._analytics.kpis(question)
        return pb.GetKpisResponse(kpis=_kpis(kpis, facts))


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except LakeAwayError:
        raise error(ErrorReason.ERROR_REASON_LAKE_UNAVAILABLE, retry_after=_RETRY_SECONDS) from None
    except ListingExpiredError:
        raise error(ErrorReason.ERROR_REASON_PAGE_TOKEN_EXPIRED) from None


def _best_by(order_by: str) -> Measure:
    match aip.parse_order_by(order_by, {Measure.REVENUE.value, Measure.QUANTITY.value}):
        case []:
            return Measure.REVENUE
        case [aip.Order(field, descending=True)]:
            return Measure(field)
    problem = "the best come first: 'revenue desc' or 'quantity desc'"
    raise mesh_error(MeshReason.ERROR_REASON_ORDER_BY_INVALID, problem=problem, fields={"order_by": problem})


def _next_page_token(request: Request, page: Page) -> str:
    if page.next is None:
        return ""
    facts, products = page.next.edition.facts, page.next.edition.products
    cursor = [facts.number, facts.committed, products.number, products.committed, page.next.offset]
    return aip.page_token(request, cursor)


def _place(request: Request) -> Place | None:
    cursor = aip.read_page_token(request, *[_counter] * 5)
    if cursor is None:
        return None
    facts, facts_committed, products, products_committed, offset = cursor
    edition = Edition(Version(facts, facts_committed), Version(products, products_committed))
    return Place(edition, max(0, offset))


def _counter(value: int) -> int:
    """Raises ValueError for what no page token of ours holds; -1 is the version of a table that does not exist."""
    if not -1 <= value < 2**53:
        raise ValueError(value)
    return value


def _revenue(row: Revenue, facts: Facts) -> pb.RevenueRow:
    return pb.RevenueRow(
        key=row.key,
        label=row.label,
        revenue=_money(row.revenue, facts),
        quantity=row.quantity,
        invoice_count=row.invoice_count,
        row_count=row.row_count,
    )


def _product(rank: int, row: Revenue, facts: Facts) -> pb.TopProduct:
    return pb.TopProduct(
        rank=rank,
        stock_code=row.key,
        description=row.label,
        revenue=_money(row.revenue, facts),
        quantity=row.quantity,
        invoice_count=row.invoice_count,
    )


def _kpis(kpis: Kpis, facts: Facts) -> pb.Kpis:
    version = facts.edition.facts
    return pb.Kpis(
        revenue=_money(kpis.revenue, facts),
        row_count=kpis.row_count,
        invoice_count=kpis.invoice_count,
        cancelled_invoice_count=kpis.cancelled_invoice_count,
        customer_count=kpis.customer_count,
        product_count=kpis.product_count,
        country_count=kpis.country_count,
        units_sold=kpis.units_sold,
        average_order_value=_money(kpis.average_order_value, facts),
        first_date=_date(kpis.first_date),
        last_date=_date(kpis.last_date),
        table_version=version.number,
        commit_time=None if version.number < 0 else _timestamp(version.committed),
    )


def _money(amount: Decimal | None, facts: Facts) -> Money | None:
    """None where there is no amount, or nothing is loaded that would say its currency."""
    return to_money(amount, facts.currency_code) if amount is not None and facts.currency_code else None


def _date(day: date | None) -> Date | None:
    return None if day is None else Date(year=day.year, month=day.month, day=day.day)


def _timestamp(milliseconds: int) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromMilliseconds(milliseconds)
    return timestamp
