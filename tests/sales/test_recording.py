"""Recording sales and reading them again, over the real server and PostgreSQL."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from google.type.money_pb2 import Money
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from retail.sales.v1 import sales_service_pb2 as pb
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceStub

from mesh.testing import Served
from services.database import Database
from services.money import from_money, to_money
from tests.calls import refused
from tests.sales.selling import line, money, recording

# What the contract lets through of each text.
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=64)
SALES = st.builds(
    lambda customer_id, country, lines: pb.Sale(customer_id=customer_id, country=country, lines=lines),
    st.from_regex(r"[A-Za-z0-9._-]{0,64}", fullmatch=True),
    NAMES.filter(bool),
    st.lists(
        st.builds(
            lambda stock_code, description, quantity, units, parts: pb.SaleLine(
                stock_code=stock_code,
                description=description,
                quantity=quantity,
                unit_price=Money(currency_code="JPY", units=units, nanos=parts * 100_000),
            ),
            st.from_regex(r"[A-Za-z0-9 ._-]{1,32}", fullmatch=True),
            NAMES,
            st.integers(1, 10**6),
            st.integers(0, 10**9 - 1),
            st.integers(0, 9999),
        ),
        min_size=1,
        max_size=5,
    ),
)


async def record(sales: SalesServiceStub, request: pb.RecordSaleRequest) -> pb.Sale:
    return (await sales.RecordSale(request)).sale


async def get(sales: SalesServiceStub, sale_id: str) -> pb.Sale:
    return (await sales.GetSale(pb.GetSaleRequest(sale_id=sale_id))).sale


async def count(sales: SalesServiceStub, customer_id: str) -> int:
    answer = await sales.ListSales(pb.ListSalesRequest(filter=f"customer_id = {customer_id}"))
    return len(answer.sales)


async def test_a_sale_is_recorded_with_its_amounts(sales: SalesServiceStub) -> None:
    begin = datetime.now(UTC).replace(microsecond=0)
    sale = await record(sales, recording(line(quantity=6, price="2.55"), line("22423", quantity=1, price="0.0001")))
    assert UUID(sale.sale_id).version == 4
    assert [x.line_number for x in sale.lines] == [1, 2]
    assert [x.amount for x in sale.lines] == [money("15.30"), money("0.0001")]
    assert (sale.total, sale.state, sale.version) == (money("15.3001"), pb.SALE_STATE_RECORDED, 1)
    assert begin <= sale.create_time.ToDatetime(UTC) <= datetime.now(UTC)
    assert sale.update_time == sale.create_time
    assert await get(sales, sale.sale_id) == sale


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SALES)
async def test_whatever_the_contract_lets_through_is_kept_as_it_is(
    sales: SalesServiceStub, given_sale: pb.Sale
) -> None:
    request = pb.RecordSaleRequest(sale=given_sale, request_id=str(uuid4()))
    sale = await record(sales, request)
    assert (sale.customer_id, sale.country) == (given_sale.customer_id, given_sale.country)
    for mine, theirs in zip(sale.lines, given_sale.lines, strict=True):
        assert (mine.stock_code, mine.description, mine.quantity, mine.unit_price) == (
            theirs.stock_code,
            theirs.description,
            theirs.quantity,
            theirs.unit_price,
        )
    assert from_money(sale.total) == sum(x.quantity * from_money(x.unit_price) for x in given_sale.lines)
    assert await get(sales, sale.sale_id) == sale
    assert await record(sales, request) == sale


async def test_a_sale_of_ten_thousand_lines(sales: SalesServiceStub) -> None:
    long = line("X" * 32, description="\N{OLD PERSIAN SIGN AURAMAZDAAHA}" * 256)
    sale = await record(sales, recording(*[long] * 10_000))
    assert from_money(sale.total) == 10_000 * 6 * Decimal("2.55")
    assert await get(sales, sale.sale_id) == sale


# A request id


async def test_a_repeated_request_answers_as_the_first_time(sales: SalesServiceStub) -> None:
    request = recording(customer_id="repeats")
    first = await record(sales, request)
    assert await record(sales, request) == first
    # A UUID is the same in capitals, and output-only fields say nothing.
    request.request_id = request.request_id.upper()
    request.sale.sale_id = str(uuid4())
    request.sale.total.CopyFrom(money("1"))
    request.sale.lines[0].amount.CopyFrom(money("1"))
    assert await record(sales, request) == first
    assert await count(sales, "repeats") == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda sale: setattr(sale, "country", "France"),
        lambda sale: setattr(sale, "customer_id", ""),
        lambda sale: setattr(sale.lines[0], "quantity", 7),
        lambda sale: setattr(sale.lines[0].unit_price, "nanos", 1_000_000),
        lambda sale: sale.lines.append(line()),
    ],
)
async def test_another_sale_with_the_same_request_id_is_refused(
    sales: SalesServiceStub, change: Callable[[pb.Sale], object]
) -> None:
    request = recording()
    first = await record(sales, request)
    request_id = request.request_id
    change(request.sale)
    refusal = await refused(sales.RecordSale(request))
    assert (refusal.code, refusal.reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    assert refusal.metadata == {"request_id": request_id}
    assert await get(sales, first.sale_id) == first


async def test_one_request_sent_by_many_at_once_is_one_sale(sales: SalesServiceStub) -> None:
    for number in range(25):
        request = recording(customer_id=f"race-{number}")
        answers = await asyncio.gather(*(record(sales, request) for _ in range(8)))
        assert all(answer == answers[0] for answer in answers)
        assert await count(sales, f"race-{number}") == 1


async def test_of_two_sales_with_one_request_id_at_once_one_is_recorded(sales: SalesServiceStub) -> None:
    for number in range(25):
        request_id = str(uuid4())
        requests = [
            recording(line(quantity=1 + index % 2), request_id=request_id, customer_id=f"two-{number}")
            for index in range(6)
        ]
        answers = await asyncio.gather(*(sales.RecordSale(request) for request in requests), return_exceptions=True)
        recorded = [answer.sale for answer in answers if isinstance(answer, pb.RecordSaleResponse)]
        assert len(recorded) == 3, "those that asked for the sale that won"
        assert all(sale == recorded[0] for sale in recorded)
        assert await count(sales, f"two-{number}") == 1


# Refusals


def broken(**fields: Any) -> pb.RecordSaleRequest:
    """A request with these fields of its sale's second line changed."""
    request = recording(line(), line())
    for name, value in fields.items():
        if isinstance(value, Money):
            request.sale.lines[1].unit_price.CopyFrom(value)
        else:
            setattr(request.sale.lines[1], name, value)
    return request


@pytest.mark.parametrize(
    ("request_message", "field"),
    [
        (pb.RecordSaleRequest(request_id=str(uuid4())), "sale"),
        (pb.RecordSaleRequest(sale=recording().sale), "request_id"),
        (recording(request_id="not-a-uuid"), "request_id"),
        (pb.RecordSaleRequest(sale=pb.Sale(country="France"), request_id=str(uuid4())), "sale.lines"),
        (recording(*[line()] * 10_001), "sale.lines"),
        (recording(country=""), "sale.country"),
        (recording(country="F" * 65), "sale.country"),
        (recording(country="Fra\x00nce"), "sale.country"),
        (recording(customer_id="a b"), "sale.customer_id"),
        (broken(stock_code=""), "sale.lines[1].stock_code"),
        (broken(stock_code="85123A;"), "sale.lines[1].stock_code"),
        (broken(description="\n"), "sale.lines[1].description"),
        (broken(description="x" * 257), "sale.lines[1].description"),
        (broken(quantity=0), "sale.lines[1].quantity"),
        (broken(quantity=-1), "sale.lines[1].quantity"),
        (broken(quantity=1_000_001), "sale.lines[1].quantity"),
        (broken(price=Money(currency_code="gbp", units=1)), "sale.lines[1].unit_price"),
        (broken(price=Money(units=1)), "sale.lines[1].unit_price"),
        (broken(price=Money(currency_code="GBP", units=-1)), "sale.lines[1].unit_price"),
        (broken(price=Money(currency_code="GBP", nanos=-1_000_000)), "sale.lines[1].unit_price"),
        (broken(price=Money(currency_code="GBP", nanos=1_000_000_000)), "sale.lines[1].unit_price"),
        (broken(price=Money(currency_code="GBP", nanos=1)), "sale.lines[1].unit_price"),
        (broken(price=Money(currency_code="GBP", units=10**9)), "sale.lines[1].unit_price"),
        (recording(*[line(quantity=10**6, price="999999999.9999")] * 1001), "sale.lines"),
    ],
)
async def test_bad_input_is_refused_by_field(
    sales: SalesServiceStub, request_message: pb.RecordSaleRequest, field: str
) -> None:
    refusal = await refused(sales.RecordSale(request_message))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert {path for path, _ in refusal.fields} == {field}


async def test_a_line_without_a_price_is_refused(sales: SalesServiceStub) -> None:
    request = recording(line())
    request.sale.lines[0].ClearField("unit_price")
    assert (await refused(sales.RecordSale(request))).fields[0][0] == "sale.lines[0].unit_price"


async def test_the_largest_total(sales: SalesServiceStub) -> None:
    sale = await record(sales, recording(*[line(quantity=10**6, price="999999999.9999")] * 1000))
    assert sale.total == to_money(Decimal("999999999999900000"), "GBP")
    assert await get(sales, sale.sale_id) == sale


async def test_currencies_that_are_mixed_are_refused_by_line(sales: SalesServiceStub) -> None:
    request = recording(line(), line(currency_code="EUR"), line(currency_code="GBP"))
    refusal = await refused(sales.RecordSale(request))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "CURRENCIES_MIXED")
    assert refusal.metadata == {"currencies": "EUR,GBP"}
    assert [path for path, _ in refusal.fields] == ["sale.lines[1].unit_price.currency_code"]


async def test_a_currency_that_does_not_exist_is_refused_by_line(sales: SalesServiceStub) -> None:
    refusal = await refused(sales.RecordSale(recording(line(), line(currency_code="XQX"))))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "CURRENCY_UNKNOWN")
    assert refusal.metadata == {"currency_code": "XQX"}
    assert [path for path, _ in refusal.fields] == ["sale.lines[1].unit_price.currency_code"]


@pytest.mark.parametrize("quantity", [0, 1])
async def test_a_refusal_of_every_line_still_reaches_the_caller(sales: SalesServiceStub, quantity: int) -> None:
    """Errors travel in trailers, which hold 8 KiB."""
    codes = ["GBP", *(f"{first}{second}{third}" for first in "AB" for second in "CDEF" for third in "GHIJ")]
    request = recording(*(line(quantity=quantity, currency_code=code) for code in codes * 300))
    refusal = await refused(sales.RecordSale(request))
    assert refusal.reason == ("CURRENCY_UNKNOWN" if quantity else "INVALID_REQUEST")
    assert len(refusal.fields) == 20


async def test_a_sale_that_is_not_there_is_not_found(sales: SalesServiceStub) -> None:
    sale_id = str(uuid4())
    refusal = await refused(sales.GetSale(pb.GetSaleRequest(sale_id=sale_id)))
    assert (refusal.code, refusal.reason) == ("NOT_FOUND", "SALE_NOT_FOUND")
    assert refusal.metadata == {"sale_id": sale_id}


@pytest.mark.parametrize("sale_id", ["", "1", "6f1d9f3e-58b1-4f6b-9c38-0d6d3a1f2b1g"])
async def test_what_is_no_sale_id_is_refused(sales: SalesServiceStub, sale_id: str) -> None:
    refusal = await refused(sales.GetSale(pb.GetSaleRequest(sale_id=sale_id)))
    assert (refusal.reason, refusal.fields[0][0]) == ("INVALID_REQUEST", "sale_id")


async def test_each_method_needs_its_permission(service: tuple[Served, Database]) -> None:
    server, _ = service
    calls: list[tuple[str, Any, str]] = [
        ("RecordSale", recording(), "sales.write"),
        ("GetSale", pb.GetSaleRequest(sale_id=str(uuid4())), "sales.read"),
        ("ListSales", pb.ListSalesRequest(), "sales.read"),
    ]
    for name, request, permission in calls:
        others = {"sales.read", "sales.write", "products.read"} - {permission}
        async with server.channel(others) as channel:
            refusal = await refused(getattr(SalesServiceStub(channel), name)(request))
            assert (refusal.code, refusal.metadata) == ("PERMISSION_DENIED", {"permission": permission})
        async with server.channel(None) as channel:
            assert (await refused(getattr(SalesServiceStub(channel), name)(request))).reason == "TOKEN_MISSING"
