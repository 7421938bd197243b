"""The service over its real server: versions, pages, refusals."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from retail.analytics.v1 import analytics_service_pb2 as pb
from retail.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceStub

import mesh.testing
from mesh import aip
from services.analytics.bootstrap import bootstrap
from services.analytics.settings import Settings
from services.analytics.store.edition_facts import EditionFacts
from services.money import from_money
from tests.calls import refused
from tests.gold_lake import Fact, GoldLake, Product

CALLS: list[tuple[str, Any]] = [
    ("QueryRevenue", pb.QueryRevenueRequest(group_by=pb.REVENUE_GROUPING_MONTH)),
    ("ListTopProducts", pb.ListTopProductsRequest()),
    ("GetKpis", pb.GetKpisRequest()),
]
COUNTRIES = [f"Country {number:02}" for number in range(12)]


def by_country(page_token: str = "") -> pb.QueryRevenueRequest:
    return pb.QueryRevenueRequest(
        group_by=pb.REVENUE_GROUPING_COUNTRY, order_by="key", page_size=5, page_token=page_token
    )


async def revenue(analytics: AnalyticsServiceStub) -> Decimal:
    return from_money((await analytics.GetKpis(pb.GetKpisRequest())).kpis.revenue)


# What is loaded


async def test_nothing_loaded_is_an_empty_answer_at_version_minus_one(analytics: AnalyticsServiceStub) -> None:
    assert await analytics.QueryRevenue(CALLS[0][1]) == pb.QueryRevenueResponse(table_version=-1)
    assert await analytics.ListTopProducts(CALLS[1][1]) == pb.ListTopProductsResponse(table_version=-1)
    assert await analytics.GetKpis(CALLS[2][1]) == pb.GetKpisResponse(kpis=pb.Kpis(table_version=-1))


async def test_a_commit_is_seen_by_the_next_question(lake: GoldLake, analytics: AnalyticsServiceStub) -> None:
    for quantity in range(1, 6):
        lake.write_facts([Fact(quantity=quantity, unit_price=Decimal(1))])
        kpis = (await analytics.GetKpis(pb.GetKpisRequest())).kpis
        assert (from_money(kpis.revenue), kpis.table_version) == (Decimal(quantity), quantity - 1)
        assert kpis.commit_time.seconds > 0


async def test_a_table_made_anew_is_not_mistaken_for_the_old_one(
    lake: GoldLake, analytics: AnalyticsServiceStub
) -> None:
    for quantity in (1, 2):
        lake.write_facts([Fact(quantity=quantity, unit_price=Decimal(1))])
    assert await revenue(analytics) == 2
    lake.drop("fact_sale")
    for quantity in (7, 8):
        lake.write_facts([Fact(quantity=quantity, unit_price=Decimal(1))])
    assert await revenue(analytics) == 8  # at version 1 again
    lake.drop("fact_sale")
    assert (await analytics.GetKpis(pb.GetKpisRequest())).kpis.table_version == -1


async def test_products_are_labelled_by_their_description(lake: GoldLake, analytics: AnalyticsServiceStub) -> None:
    lake.write_facts([Fact(stock_code=code) for code in ("22423", "85123A", "POST")])
    request = pb.QueryRevenueRequest(group_by=pb.REVENUE_GROUPING_PRODUCT, order_by="key")
    labels = [row.label for row in (await analytics.QueryRevenue(request)).rows]
    assert labels == ["22423", "85123A", "POST"]
    lake.write_products([Product("22423", "REGENCY CAKESTAND 3 TIER"), Product("85123A", None)])
    labels = [row.label for row in (await analytics.QueryRevenue(request)).rows]
    assert labels == ["REGENCY CAKESTAND 3 TIER", "85123A", "POST"]
    top = await analytics.ListTopProducts(pb.ListTopProductsRequest(filter='stock_code = "22423"'))
    assert [product.description for product in top.products] == ["REGENCY CAKESTAND 3 TIER"]


async def test_money_is_exact(lake: GoldLake, analytics: AnalyticsServiceStub) -> None:
    lake.write_facts([Fact(quantity=3, unit_price=Decimal("0.1000"))] * 7 + [Fact(quantity=-1, unit_price=Decimal(3))])
    money = (await analytics.GetKpis(pb.GetKpisRequest())).kpis.revenue
    assert (money.currency_code, money.units, money.nanos) == ("GBP", 0, -900_000_000)


async def test_amounts_of_several_currencies_are_never_added(lake: GoldLake, analytics: AnalyticsServiceStub) -> None:
    lake.write_facts([Fact(), Fact(currency_code="EUR")])
    assert (await refused(analytics.GetKpis(pb.GetKpisRequest()))).reason == "INTERNAL"
    lake.write_facts([Fact()])
    assert await revenue(analytics) == Fact().amount


# The lake away


async def test_a_lake_that_is_away_is_unavailable_until_it_is_back(
    lake: GoldLake, analytics: AnalyticsServiceStub
) -> None:
    lake.write_facts([Fact()])
    assert await revenue(analytics) == Fact().amount
    lake.go_away()
    for name, request in CALLS:
        away = await refused(getattr(analytics, name)(request))
        assert (away.code, away.reason, away.retry_after) == ("UNAVAILABLE", "LAKE_UNAVAILABLE", 1.0)
    lake.come_back()
    assert await revenue(analytics) == Fact().amount


async def test_files_that_are_missing_are_unavailable_not_wrong(
    lake: GoldLake, analytics: AnalyticsServiceStub
) -> None:
    lake.write_facts([Fact()])
    (file,) = lake.path("fact_sale").glob("*.parquet")
    file.rename(file.with_suffix(".away"))
    assert (await refused(analytics.GetKpis(pb.GetKpisRequest()))).reason == "LAKE_UNAVAILABLE"
    file.with_suffix(".away").rename(file)
    assert await revenue(analytics) == Fact().amount


async def test_a_log_that_is_damaged_is_unavailable(lake: GoldLake, analytics: AnalyticsServiceStub) -> None:
    lake.write_facts([Fact()])
    next(lake.path("fact_sale").glob("_delta_log/*.json")).write_text('{"add": {"path')
    assert (await refused(analytics.GetKpis(pb.GetKpisRequest()))).reason == "LAKE_UNAVAILABLE"


# Pages


async def test_pages_stay_in_the_version_they_began_in(lake: GoldLake, analytics: AnalyticsServiceStub) -> None:
    lake.write_facts([Fact(country=country, quantity=1) for country in COUNTRIES])
    page = await analytics.QueryRevenue(by_country())
    rows = list(page.rows)
    while page.next_page_token:
        lake.write_facts([Fact(country=f"New {country}", quantity=9) for country in COUNTRIES])
        page = await analytics.QueryRevenue(by_country(page.next_page_token))
        rows += page.rows
        assert page.table_version == 0
    assert [(row.key, row.quantity) for row in rows] == [(country, 1) for country in COUNTRIES]
    assert (await analytics.QueryRevenue(by_country())).table_version == 2


async def test_another_instance_goes_on_with_a_listing(lake: GoldLake, analytics: AnalyticsServiceStub) -> None:
    lake.write_facts([Fact(country=country) for country in COUNTRIES])
    token = (await analytics.QueryRevenue(by_country())).next_page_token
    lake.write_facts([Fact(country="Elsewhere")])
    async with other_instance(lake) as other:
        page = await other.QueryRevenue(by_country(token))
        assert [row.key for row in page.rows] == COUNTRIES[5:10]
        assert page.table_version == 0


async def test_a_listing_ends_when_its_version_is_no_longer_kept(
    lake: GoldLake, analytics: AnalyticsServiceStub
) -> None:
    lake.write_facts([Fact(country=country) for country in COUNTRIES])
    token = (await analytics.QueryRevenue(by_country())).next_page_token
    lake.write_facts([Fact(country="Elsewhere")])
    lake.vacuum("fact_sale")
    # This instance still holds the rows in memory, with the lake away too; another has to read them.
    lake.go_away()
    assert len((await analytics.QueryRevenue(by_country(token))).rows) == 5
    lake.come_back()
    async with other_instance(lake) as other:
        expired = await refused(other.QueryRevenue(by_country(token)))
        assert (expired.code, expired.reason) == ("ABORTED", "PAGE_TOKEN_EXPIRED")
        lake.drop("fact_sale")
        assert (await refused(other.QueryRevenue(by_country(token)))).reason == "PAGE_TOKEN_EXPIRED"


async def test_listings_of_old_versions_do_not_push_out_the_newest(
    lake: GoldLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = counted_loads(monkeypatch)
    async with other_instance(lake, kept_editions=1) as analytics:
        lake.write_facts([Fact(country=country) for country in COUNTRIES])
        token = (await analytics.QueryRevenue(by_country())).next_page_token
        lake.write_facts([Fact(country="Elsewhere")])
        for _ in range(3):
            assert (await analytics.QueryRevenue(by_country())).table_version == 1
            assert (await analytics.QueryRevenue(by_country(token))).table_version == 0
    assert [edition.facts.number for edition in loads].count(1) == 1


async def test_a_page_has_at_most_a_thousand_rows(lake: GoldLake, analytics: AnalyticsServiceStub) -> None:
    lake.write_facts([Fact(customer_id=str(number)) for number in range(1001)])
    request = pb.QueryRevenueRequest(group_by=pb.REVENUE_GROUPING_CUSTOMER, page_size=5000)
    page = await analytics.QueryRevenue(request)
    assert len(page.rows) == 1000
    assert page.next_page_token
    request.page_size = 0
    assert len((await analytics.QueryRevenue(request)).rows) == 100


# Many at once


async def test_first_questions_at_the_same_time_load_once(
    lake: GoldLake, analytics: AnalyticsServiceStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = counted_loads(monkeypatch)
    lake.write_facts([Fact()] * 1000)
    await asyncio.gather(*(analytics.GetKpis(pb.GetKpisRequest()) for _ in range(40)))
    assert len(loads) == 1


async def test_answers_are_whole_while_the_table_is_rewritten(lake: GoldLake, analytics: AnalyticsServiceStub) -> None:
    """Version n holds n + 1 rows of amount n + 1; any mixture of two versions has another sum."""

    def write(number: int) -> None:
        lake.write_facts([Fact(quantity=number + 1, unit_price=Decimal(1), invoice_no=str(number))] * (number + 1))

    write(0)
    writing = asyncio.create_task(rewrite(write, range(1, 12)))

    async def ask() -> list[int]:
        versions = []
        while not writing.done():
            kpis = (await analytics.GetKpis(pb.GetKpisRequest())).kpis
            rows = kpis.table_version + 1
            assert (from_money(kpis.revenue), kpis.row_count) == (Decimal(rows * rows), rows)
            versions.append(kpis.table_version)
        return versions

    for versions in await asyncio.gather(*(ask() for _ in range(4))):
        assert versions == sorted(versions)
    assert (await analytics.GetKpis(pb.GetKpisRequest())).kpis.table_version == 11


async def rewrite(write: Callable[[int], None], numbers: range) -> None:
    for number in numbers:
        await asyncio.to_thread(write, number)


# Refusals


@pytest.mark.parametrize(("name", "request_message"), CALLS)
async def test_each_method_needs_its_permission(server: mesh.testing.Served, name: str, request_message: Any) -> None:
    async with server.channel(permissions={"sales.read", "products.read"}) as channel:
        refusal = await refused(getattr(AnalyticsServiceStub(channel), name)(request_message))
    assert (refusal.code, refusal.metadata) == ("PERMISSION_DENIED", {"permission": "analytics.read"})
    async with server.channel(permissions=None) as channel:
        assert (await refused(getattr(AnalyticsServiceStub(channel), name)(request_message))).reason == "TOKEN_MISSING"


MONTHS = pb.REVENUE_GROUPING_MONTH


@pytest.mark.parametrize(
    ("request_message", "reason", "field"),
    [
        (pb.QueryRevenueRequest(), "INVALID_REQUEST", "group_by"),
        (pb.QueryRevenueRequest(group_by=99), "INVALID_REQUEST", "group_by"),  # type: ignore[arg-type]
        (pb.QueryRevenueRequest(group_by=MONTHS, page_size=-1), "INVALID_REQUEST", "page_size"),
        (pb.QueryRevenueRequest(group_by=MONTHS, filter="x" * 4097), "INVALID_REQUEST", "filter"),
        (
            pb.QueryRevenueRequest(group_by=MONTHS, filter='country = "France" AND amount > 3'),
            "FILTER_INVALID",
            "filter",
        ),
        (pb.QueryRevenueRequest(group_by=MONTHS, filter="date > 2011-02-30"), "FILTER_INVALID", "filter"),
        (pb.QueryRevenueRequest(group_by=MONTHS, filter="kind = REFUND"), "FILTER_INVALID", "filter"),
        (pb.QueryRevenueRequest(group_by=MONTHS, filter="country < France"), "FILTER_INVALID", "filter"),
        (pb.QueryRevenueRequest(group_by=MONTHS, order_by="colour"), "ORDER_BY_INVALID", "order_by"),
        (pb.QueryRevenueRequest(group_by=MONTHS, order_by="row_count"), "ORDER_BY_INVALID", "order_by"),
        (pb.QueryRevenueRequest(group_by=MONTHS, order_by="key; DROP TABLE x"), "ORDER_BY_INVALID", "order_by"),
        (pb.QueryRevenueRequest(group_by=MONTHS, page_token="nonsense"), "PAGE_TOKEN_INVALID", "page_token"),
        (pb.ListTopProductsRequest(order_by="revenue"), "ORDER_BY_INVALID", "order_by"),
        (pb.ListTopProductsRequest(order_by="revenue desc, quantity desc"), "ORDER_BY_INVALID", "order_by"),
        (pb.ListTopProductsRequest(order_by="key"), "ORDER_BY_INVALID", "order_by"),
        (pb.ListTopProductsRequest(page_size=-5), "INVALID_REQUEST", "page_size"),
        (pb.GetKpisRequest(filter="("), "FILTER_INVALID", "filter"),
    ],
)
async def test_bad_input_is_refused_by_field(
    analytics: AnalyticsServiceStub, request_message: Any, reason: str, field: str
) -> None:
    methods: dict[type, Any] = {
        pb.QueryRevenueRequest: analytics.QueryRevenue,
        pb.ListTopProductsRequest: analytics.ListTopProducts,
        pb.GetKpisRequest: analytics.GetKpis,
    }
    refusal = await refused(methods[type(request_message)](request_message))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", reason)
    assert [path for path, _ in refusal.fields] == [field]


async def test_a_bad_filter_is_refused_with_its_column(analytics: AnalyticsServiceStub) -> None:
    request = pb.GetKpisRequest(filter='country = "France" AND amount > 3')
    refusal = await refused(analytics.GetKpis(request))
    assert refusal.metadata["column"] == "24"
    assert "amount" in refusal.metadata["problem"]


async def test_a_page_token_belongs_to_its_query(lake: GoldLake, analytics: AnalyticsServiceStub) -> None:
    lake.write_facts([Fact(country=country) for country in COUNTRIES])
    token = (await analytics.QueryRevenue(by_country())).next_page_token
    foreign = by_country(token)
    foreign.filter = 'country != "France"'
    assert (await refused(analytics.QueryRevenue(foreign))).reason == "PAGE_TOKEN_INVALID"
    foreign_method = pb.ListTopProductsRequest(page_token=token)
    assert (await refused(analytics.ListTopProducts(foreign_method))).reason == "PAGE_TOKEN_INVALID"
    larger = by_country(token)
    larger.page_size = 7
    assert [row.key for row in (await analytics.QueryRevenue(larger)).rows] == COUNTRIES[5:12]


@pytest.mark.parametrize(
    ("cursor", "reason"),
    [
        ([0, 0, -1, 0], "PAGE_TOKEN_INVALID"),
        ([0, 0, -1, 0, 2**70], "PAGE_TOKEN_INVALID"),
        ([0, 0, -1, 0, "5"], "PAGE_TOKEN_INVALID"),
        ([0, 1234, -1, 0, 5], "PAGE_TOKEN_EXPIRED"),
        ([99, 1234, -1, 0, 5], "PAGE_TOKEN_EXPIRED"),
        ([-1, 1234, -1, 0, 5], "PAGE_TOKEN_EXPIRED"),
        ([2**52, 1234, 2**52, 0, 5], "PAGE_TOKEN_EXPIRED"),
    ],
)
async def test_page_tokens_that_somebody_made_up_are_refused(
    lake: GoldLake, analytics: AnalyticsServiceStub, cursor: list[int | str], reason: str
) -> None:
    lake.write_facts([Fact()])
    request = by_country()
    request.page_token = aip.page_token(request, cursor)
    assert (await refused(analytics.QueryRevenue(request))).reason == reason


@asynccontextmanager
async def other_instance(lake: GoldLake, *, kept_editions: int = 3) -> AsyncIterator[AnalyticsServiceStub]:
    """A second instance of the service on the same lake."""
    async with (
        bootstrap(Settings(lake.uri, kept_editions=kept_editions)) as rpc,
        mesh.testing.serving(rpc) as server,
        server.channel(permissions={"analytics.read"}) as channel,
    ):
        yield AnalyticsServiceStub(channel)


def counted_loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The editions that are loaded from now on."""
    loads: list[Any] = []
    load = EditionFacts.load

    def counting(edition: Any, *rest: Any) -> EditionFacts:
        loads.append(edition)
        return load(edition, *rest)

    monkeypatch.setattr(EditionFacts, "load", counting)
    return loads
