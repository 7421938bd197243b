"""What is found for a query, and in which order."""

from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.search.domain import ranking
from services.search.domain.products import Catalogue, Hit, Product
from services.search.store.index import ProductIndex

PRICE = Decimal("2.5500")

# What `candle` finds, the best kind first, each beside something that it does not.
KINDS = [
    ["CANDLE", "candle holder", "Cándle"],
    ["CANDLES", "two candles"],
    ["CANDLESTICK", "the candleholder"],
    ["CANDEL", "CANLE", "CANDYLE", "SANDLE"],
]
MISSED = ["CAN", "SANDLES", "HANDLEBARS", "HOLDER"]

descriptions = st.lists(
    st.sampled_from([*(text for kind in KINDS for text in kind), *MISSED, "RED", "set of 3", "", "💡 lámp", "t-light"]),
    max_size=4,
).map(" ".join)
catalogues = st.lists(descriptions, max_size=25).flatmap(
    lambda texts: st.tuples(
        *(st.builds(Product, st.just(f"{20_000 + place}A"), st.just(text), st.just(PRICE), st.integers(-100, 10**6))
          for place, text in enumerate(texts))
    )
)  # fmt: skip


def indexed(products: Sequence[Product]) -> ProductIndex:
    return ProductIndex(Catalogue(0, 0), products)


def sold(*descriptions: str, units: int = 1) -> list[Product]:
    return [Product(f"1000{place}", text, PRICE, units) for place, text in enumerate(descriptions)]


async def found(index: ProductIndex, query: str, limit: int = 100) -> list[str]:
    hits, total = await index.find(query, 0, limit)
    assert total >= len(hits)
    return [hit.product.description for hit in hits]


def kind(description: str) -> int:
    """Of a product by `candle`: the place in KINDS of the best."""
    return min(place for place, texts in enumerate(KINDS) for text in texts if text in description)


@given(st.lists(st.tuples(st.sampled_from([text for kind in KINDS for text in kind]), st.integers(-5, 10**7))))
@settings(deadline=None, max_examples=60)
async def test_a_better_kind_of_match_comes_first_however_much_sells(wares: list[tuple[str, int]]) -> None:
    products = [Product(f"9{place:04}", text, PRICE, units) for place, (text, units) in enumerate(wares)]
    answer = await found(indexed([*products, *sold(*MISSED, units=10**9)]), "candle")
    assert sorted(answer) == sorted(text for text, _ in wares)
    places = [place for text in answer for place, texts in enumerate(KINDS) if text in texts]
    assert places == sorted(places)


async def test_of_equal_matches_what_sells_more_comes_first() -> None:
    products = [Product(str(units), "RED CANDLE", PRICE, units) for units in (5, -3, 500, 50)]
    hits, _ = await indexed(products).find("candle", 0, 10)
    assert [hit.product.units_sold for hit in hits] == [500, 50, 5, -3]


async def test_of_equal_matches_the_shorter_description_comes_first() -> None:
    index = indexed(sold("CANDLE IN A VERY LONG AND WORDY DESCRIPTION", "RED CANDLE", "CANDLE"))
    assert (await found(index, "candle"))[0] == "CANDLE"
    assert (await found(index, "candle"))[-1] == "CANDLE IN A VERY LONG AND WORDY DESCRIPTION"


async def test_every_word_must_match_in_any_order() -> None:
    index = indexed(sold("RED CANDLE HOLDER", "CANDLE HOLDER", "HOLDER FOR A RED CANDLE", "RED HOLDER"))
    assert set(await found(index, "holder red candle")) == {"RED CANDLE HOLDER", "HOLDER FOR A RED CANDLE"}
    assert await found(index, "red elephant") == []


async def test_words_side_by_side_come_first() -> None:
    index = indexed([*sold("LIGHT HOLDER HEART", "HOLDER HEART LIGHT", units=10**6), *sold("HEART LIGHT HOLDER")])
    assert (await found(index, "heart light"))[-1] == "LIGHT HOLDER HEART"
    assert (await found(index, "heart light holder"))[0] == "HEART LIGHT HOLDER"


@pytest.mark.parametrize("query", ["85123A", "85123a", " 85123A ", "85123"])
async def test_a_stock_code_is_found(query: str) -> None:
    products = [
        Product("85123B", "ANOTHER", PRICE, 10**6),
        Product("85123A", "WHITE HANGING HEART", PRICE, 1),
        Product("22423", "85123A IS NOT THIS ONE", PRICE, 10**6),
        Product("22424", "SOMETHING ELSE", PRICE, 10**6),
    ]
    hits, _ = await indexed(products).find(query, 0, 10)
    codes = [hit.product.stock_code for hit in hits]
    if query == "85123":
        assert set(codes) == {"85123A", "85123B", "22423"}
    else:
        assert codes == ["85123A", "22423"]


async def test_a_stock_code_beside_a_word() -> None:
    products = [Product("85123A", "WHITE HEART", PRICE, 1), Product("85123B", "RED HEART", PRICE, 1)]
    assert await found(indexed(products), "heart 85123a") == ["WHITE HEART"]


async def test_a_stock_code_with_blanks_and_signs_is_found_whole() -> None:
    index = indexed([Product("gift_0001 a-b", "VOUCHER", PRICE, 1), Product("gift_0002 a-b", "OTHER", PRICE, 1)])
    assert await found(index, "GIFT_0001 A-B") == ["VOUCHER"]


async def test_short_words_and_numbers_are_never_taken_for_misspelt() -> None:
    index = indexed(sold("RED", "BED", "SET OF 6", "2011 CALENDAR"))
    assert await found(index, "bad") == []
    assert await found(index, "2012") == []
    assert not ranking.may_be_misspelt("2012")


async def test_accents_and_case_do_not_matter() -> None:
    index = indexed(sold("CRÈME BRÛLÉE DISH", "Straße sign"))
    assert await found(index, "creme brulee") == ["CRÈME BRÛLÉE DISH"]
    assert await found(index, "CRÈME") == ["CRÈME BRÛLÉE DISH"]
    assert await found(index, "strasse") == ["Straße sign"]


async def test_nothing_to_look_for_or_in_finds_nothing() -> None:
    assert await found(indexed([]), "candle") == []
    assert await found(indexed(sold("CANDLE")), "   ") == []
    assert await found(indexed(sold("CANDLE")), "!?") == []


@given(catalogues, st.text(max_size=256) | descriptions)
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
async def test_any_text_is_a_query(products: tuple[Product, ...], query: str) -> None:
    hits, total = await indexed(products).find(query, 0, 100)
    assert total == len(hits) <= len(products)
    assert all(hit.score > 0 for hit in hits)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).filter(str.strip))
@settings(deadline=None, max_examples=100)
async def test_every_product_is_found_by_its_stock_code(code: str) -> None:
    hits, _ = await indexed([Product(code, "", PRICE, 1)]).find(code, 0, 1)
    assert [hit.product.stock_code for hit in hits] == [code]


@given(catalogues, st.sampled_from(["candle", "candle holder", "a", "20"]), st.integers(1, 7))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
async def test_pages_are_pieces_of_the_whole(products: tuple[Product, ...], query: str, size: int) -> None:
    index = indexed(products)
    whole, total = await index.find(query, 0, 100)
    pieces: list[Hit] = []
    while True:
        hits, count = await index.find(query, len(pieces), size)
        assert count == total
        if not hits:
            break
        pieces += hits
    assert pieces == list(whole)
    assert (await index.find(query, 2**62, 100))[0] == []


@given(st.integers(-(10**6), 10**9), st.integers(-(10**6), 10**9))
def test_popularity_lifts_a_little_and_never_lowers(units: int, most: int) -> None:
    factor = ranking.popularity(min(units, most), most)
    assert 1 <= factor <= 1 + ranking.POPULARITY
