"""The service over its real server: what it follows, what it keeps serving, what it refuses."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
import pytest_asyncio
from google.type.money_pb2 import Money
from retail.search.v1 import search_service_pb2 as pb
from retail.search.v1.search_service_pb2_grpc import SearchServiceStub

import mesh.testing
from mesh import aip
from services.gold import Version
from services.lakehouse import Lakehouse
from services.search.bootstrap import bootstrap
from services.search.domain import products
from services.search.domain.products import Catalogue, IndexUnavailableError, ListingExpiredError
from services.search.settings import Settings
from services.search.store.indexes import ProductIndexes
from services.search.store.products import LakeProducts
from tests.calls import all_rows, refused
from tests.eventually import eventually
from tests.gold_lake import GoldLake, Product

CANDLES = [Product(f"{number}", f"CANDLE {number:02}", units_sold=100 - number) for number in range(12)]
CODES = [product.stock_code for product in CANDLES]


def candles(page_token: str = "", page_size: int = 5) -> pb.SearchProductsRequest:
    return pb.SearchProductsRequest(query="candle", page_size=page_size, page_token=page_token)


def codes(answer: pb.SearchProductsResponse) -> list[str]:
    return [hit.stock_code for hit in answer.hits]


@asynccontextmanager
async def serving(lake: GoldLake, *, kept_indexes: int = 3) -> AsyncIterator[mesh.testing.Served]:
    settings = Settings(lake.uri, poll_seconds=0.02, kept_indexes=kept_indexes)
    async with bootstrap(settings) as rpc, mesh.testing.serving(rpc) as server:
        yield server


@asynccontextmanager
async def searching(lake: GoldLake, *, kept_indexes: int = 3) -> AsyncIterator[SearchServiceStub]:
    async with (
        serving(lake, kept_indexes=kept_indexes) as server,
        server.channel(permissions={"products.read"}) as channel,
    ):
        yield SearchServiceStub(channel)


@pytest_asyncio.fixture
async def search(lake: GoldLake) -> AsyncIterator[SearchServiceStub]:
    """Begun on a lake of twelve candles."""
    lake.write_products(CANDLES)
    async with searching(lake) as search:
        yield search


async def follows(search: SearchServiceStub, version: int) -> None:
    async def reached() -> bool:
        return (await search.SearchProducts(candles())).table_version == version

    await eventually(reached)


# What is found


async def test_a_product_is_found_with_what_is_known_of_it(lake: GoldLake) -> None:
    lake.write_products(
        [
            Product("85123A", "WHITE HANGING HEART T-LIGHT HOLDER", unit_price=Decimal("2.5501"), units_sold=5),
            Product("22423", "HEART OF WICKER", unit_price=None),
            Product("22424", None),
            Product("POST", "HEART POSTAGE", is_product=False),
        ]
    )
    async with searching(lake) as search:
        answer = await search.SearchProducts(pb.SearchProductsRequest(query="heart"))
        white, wicker = sorted(answer.hits, key=lambda hit: hit.stock_code, reverse=True)
        price = Money(currency_code="GBP", units=2, nanos=550_100_000)
        assert (white.stock_code, white.description) == ("85123A", "WHITE HANGING HEART T-LIGHT HOLDER")
        assert (white.unit_price, wicker.HasField("unit_price")) == (price, False)
        assert (answer.total_size, answer.table_version, answer.next_page_token) == (2, 0, "")
        nameless = await search.SearchProducts(pb.SearchProductsRequest(query="22424"))
        assert [(hit.stock_code, hit.description) for hit in nameless.hits] == [("22424", "")]


async def test_no_match_is_an_empty_answer(search: SearchServiceStub) -> None:
    answer = await search.SearchProducts(pb.SearchProductsRequest(query="elephant"))
    assert answer == pb.SearchProductsResponse(table_version=0)


async def test_a_lake_without_products_is_an_empty_answer_at_version_minus_one(lake: GoldLake) -> None:
    async with searching(lake) as search:
        assert await search.SearchProducts(candles()) == pb.SearchProductsResponse(table_version=-1)
        lake.write_products(CANDLES)
        await follows(search, 0)
        assert (await search.SearchProducts(candles())).total_size == 12


# Pages


async def test_pages_make_up_the_whole_and_each_tells_its_size(search: SearchServiceStub) -> None:
    sizes = []

    async def ask(token: str) -> pb.SearchProductsResponse:
        answer = await search.SearchProducts(candles(token))
        sizes.append((len(answer.hits), answer.total_size))
        return answer

    hits = await all_rows(ask, "hits")
    assert [hit.stock_code for hit in hits] == CODES
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert sizes == [(5, 12), (5, 12), (2, 12)]


async def test_a_page_has_ten_hits_unless_told_and_at_most_a_hundred(lake: GoldLake) -> None:
    lake.write_products(Product(str(number), "CANDLE") for number in range(150))
    async with searching(lake) as search:
        assert len((await search.SearchProducts(candles(page_size=0))).hits) == 10
        assert len((await search.SearchProducts(candles(page_size=2**31 - 1))).hits) == 100


async def test_a_listing_goes_on_in_the_version_it_began_in(lake: GoldLake, search: SearchServiceStub) -> None:
    answer = await search.SearchProducts(candles())
    found = codes(answer)
    for version in (1, 2):
        lake.write_products([Product("new", f"CANDLE OF {version}")])
        await follows(search, version)
        answer = await search.SearchProducts(candles(answer.next_page_token))
        assert (answer.table_version, answer.total_size) == (0, 12)
        found += codes(answer)
    assert (found, answer.next_page_token) == (CODES, "")
    assert codes(await search.SearchProducts(candles())) == ["new"]


async def test_another_instance_goes_on_with_a_listing(lake: GoldLake, search: SearchServiceStub) -> None:
    token = (await search.SearchProducts(candles())).next_page_token
    lake.write_products([Product("new", "CANDLE")])
    async with searching(lake) as other:
        assert codes(await other.SearchProducts(candles())) == ["new"]
        assert codes(await other.SearchProducts(candles(token))) == CODES[5:10]


async def test_a_listing_ends_when_its_version_is_no_longer_kept(lake: GoldLake, search: SearchServiceStub) -> None:
    token = (await search.SearchProducts(candles())).next_page_token
    lake.write_products([Product("new", "CANDLE")])
    lake.vacuum("dim_product")
    await follows(search, lake.version("dim_product"))
    assert codes(await search.SearchProducts(candles(token))) == CODES[5:10], "its index is still kept here"
    async with searching(lake) as other:
        expired = await refused(other.SearchProducts(candles(token)))
        assert (expired.code, expired.reason) == ("ABORTED", "PAGE_TOKEN_EXPIRED")


async def test_indexes_that_are_pushed_out_are_made_again(lake: GoldLake) -> None:
    lake.write_products(CANDLES)
    async with searching(lake, kept_indexes=1) as search:
        token = (await search.SearchProducts(candles())).next_page_token
        lake.write_products([Product("new", "CANDLE")])
        await follows(search, 1)
        assert codes(await search.SearchProducts(candles(token))) == CODES[5:10]
        assert codes(await search.SearchProducts(candles())) == ["new"]


async def test_a_page_token_belongs_to_its_query(search: SearchServiceStub) -> None:
    token = (await search.SearchProducts(candles())).next_page_token
    other = pb.SearchProductsRequest(query="candles", page_token=token)
    refusal = await refused(search.SearchProducts(other))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")
    assert codes(await search.SearchProducts(candles(token, page_size=7))) == CODES[5:]


@pytest.mark.parametrize(
    ("cursor", "reason"),
    [
        ([0, 0], "PAGE_TOKEN_INVALID"),
        ([0, 0, "5"], "PAGE_TOKEN_INVALID"),
        ([-1, 0, 5], "PAGE_TOKEN_INVALID"),
        ([0, 0, -5], "PAGE_TOKEN_INVALID"),
        ([0, 0, 2**63], "PAGE_TOKEN_INVALID"),
        ([0, 1234, 5], "PAGE_TOKEN_EXPIRED"),
        ([99, 1234, 5], "PAGE_TOKEN_EXPIRED"),
        ([2**63 - 1, 1234, 5], "PAGE_TOKEN_EXPIRED"),
    ],
)
async def test_page_tokens_that_somebody_made_up_are_refused(
    search: SearchServiceStub, cursor: list[int | str], reason: str
) -> None:
    request = candles()
    request.page_token = aip.page_token(request, cursor)
    assert (await refused(search.SearchProducts(request))).reason == reason


# The lake away


async def test_without_an_index_the_service_says_when_to_come_back(lake: GoldLake) -> None:
    lake.write_products(CANDLES)
    lake.go_away()
    async with searching(lake) as search:
        for _ in range(2):
            refusal = await refused(search.SearchProducts(candles()))
            assert (refusal.code, refusal.reason, refusal.retry_after) == ("UNAVAILABLE", "INDEX_UNAVAILABLE", 1.0)
        lake.come_back()

        async def answers() -> bool:
            return codes(await search.SearchProducts(candles())) == CODES[:5]

        await eventually(answers)


async def test_the_last_index_serves_while_the_lake_is_away(lake: GoldLake, search: SearchServiceStub) -> None:
    token = (await search.SearchProducts(candles())).next_page_token
    lake.write_products([Product("new", "CANDLE")])
    await follows(search, 1)
    lake.go_away()
    assert codes(await search.SearchProducts(candles())) == ["new"]
    assert codes(await search.SearchProducts(candles(token))) == CODES[5:10]
    lake.come_back()
    lake.write_products([Product("newer", "CANDLE")])
    await follows(search, 2)


async def test_a_table_made_anew_is_followed(lake: GoldLake, search: SearchServiceStub) -> None:
    assert codes(await search.SearchProducts(candles())) == CODES[:5]
    lake.drop("dim_product")
    await follows(search, -1)
    lake.write_products([Product("anew", "CANDLE")])  # at version 0 again
    await follows(search, 0)
    assert codes(await search.SearchProducts(candles())) == ["anew"]


# Making indexes


class SlowProducts(LakeProducts):
    """Reads when it is let."""

    def __init__(self, lake: GoldLake) -> None:
        super().__init__(Lakehouse(lake.uri))
        self.read: list[int] = []
        self.let = threading.Event()
        self.let.set()

    def at(self, version: Version) -> Sequence[products.Product]:
        self.read.append(version.number)
        self.let.wait()
        return super().at(version)


async def test_the_old_index_serves_until_the_new_one_is_complete(lake: GoldLake) -> None:
    lake.write_products(CANDLES)
    slow = SlowProducts(lake)
    indexes = ProductIndexes(slow, kept=3)
    await indexes.refresh()
    slow.let.clear()
    lake.write_products([Product("new", "CANDLE")])
    refreshing = asyncio.create_task(indexes.refresh())

    async def reading() -> bool:
        return slow.read == [0, 1]

    await eventually(reading)
    assert indexes.newest().catalogue.version == 0
    slow.let.set()
    await refreshing
    assert indexes.newest().catalogue.version == 1


async def test_an_old_index_is_made_once_for_all_who_ask(lake: GoldLake) -> None:
    lake.write_products(CANDLES)
    slow = SlowProducts(lake)
    indexes = ProductIndexes(slow, kept=3)
    old = Catalogue(slow.newest().number, slow.newest().committed)
    slow.let.clear()
    asking = [asyncio.create_task(indexes.of(old)) for _ in range(20)]

    async def reading() -> bool:
        return bool(slow.read)

    await eventually(reading)
    asking[0].cancel()
    slow.let.set()
    made = await asyncio.gather(*asking[1:])
    assert len({id(index) for index in made}) == 1
    assert slow.read == [0]


async def test_what_could_not_be_made_is_tried_again(lake: GoldLake) -> None:
    lake.write_products(CANDLES)
    indexes = ProductIndexes(LakeProducts(Lakehouse(lake.uri)), kept=3)
    with pytest.raises(IndexUnavailableError):
        indexes.newest()
    with pytest.raises(ListingExpiredError):
        await indexes.of(Catalogue(7, 1))
    (file,) = lake.path("dim_product").glob("*.parquet")
    file.rename(file.with_suffix(".away"))
    await indexes.refresh()
    with pytest.raises(IndexUnavailableError):
        indexes.newest()
    file.with_suffix(".away").rename(file)
    await indexes.refresh()
    assert len(indexes.newest()) == 12


# Refusals


@pytest.mark.parametrize(
    ("request_message", "field"),
    [
        (pb.SearchProductsRequest(), "query"),
        (pb.SearchProductsRequest(query="x" * 257), "query"),
        (pb.SearchProductsRequest(query="x", page_size=-1), "page_size"),
        (pb.SearchProductsRequest(query="x", page_token="x" * 1025), "page_token"),
    ],
)
async def test_bad_input_is_refused_by_field(
    search: SearchServiceStub, request_message: pb.SearchProductsRequest, field: str
) -> None:
    refusal = await refused(search.SearchProducts(request_message))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert [path for path, _ in refusal.fields] == [field]


async def test_searching_needs_its_permission(lake: GoldLake) -> None:
    async with serving(lake) as server:
        async with server.channel({"sales.read", "analytics.read"}) as channel:
            refusal = await refused(SearchServiceStub(channel).SearchProducts(candles()))
            assert (refusal.code, refusal.metadata) == ("PERMISSION_DENIED", {"permission": "products.read"})
        async with server.channel(None) as channel:
            assert (await refused(SearchServiceStub(channel).SearchProducts(candles()))).reason == "TOKEN_MISSING"
