"""What a sale is, whatever is in it."""

import dataclasses
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sales.domain.currencies import ISO_4217
from services.sales.domain.errors import CurrenciesMixedError, CurrencyUnknownError, TotalTooLargeError
from services.sales.domain.sale import TOTAL_LIMIT, Item, NewSale, Sale, SaleState

SALE_ID = UUID("6f1d9f3e-58b1-4f6b-9c38-0d6d3a1f2b11")
NOW = datetime(2011, 5, 31, 12, tzinfo=UTC)

prices = st.integers(0, 10**13 - 1).map(lambda parts: Decimal(parts).scaleb(-4))
items = st.builds(Item, st.text(), st.text(), st.integers(1, 10**6), prices, st.just("GBP"))
new_sales = st.builds(NewSale, st.text(), st.text(), st.lists(items, min_size=1, max_size=20).map(tuple))


def recorded(new: NewSale) -> Sale:
    return Sale.record(new, sale_id=SALE_ID, at=NOW)


def sold(*currency_codes: str, quantity: int = 1, price: str = "1") -> NewSale:
    return NewSale("", "France", tuple(Item("A", "", quantity, Decimal(price), code) for code in currency_codes))


@given(new_sales)
def test_amounts_are_exact(new: NewSale) -> None:
    sale = recorded(new)
    assert [Fraction(line.amount) for line in sale.lines] == [x.quantity * Fraction(x.unit_price) for x in new.items]
    assert Fraction(sale.total) == sum(Fraction(line.amount) for line in sale.lines)


@given(new_sales)
def test_a_sale_is_recorded_as_it_was_given(new: NewSale) -> None:
    sale = recorded(new)
    assert (sale.sale_id, sale.customer_id, sale.country) == (SALE_ID, new.customer_id, new.country)
    assert (sale.state, sale.version, sale.create_time, sale.update_time) == (SaleState.RECORDED, 1, NOW, NOW)
    assert [line.number for line in sale.lines] == list(range(1, len(new.items) + 1))
    kept = [(x.stock_code, x.description, x.quantity, x.unit_price, sale.currency_code) for x in sale.lines]
    assert kept == [dataclasses.astuple(item) for item in new.items]


@given(new_sales, new_sales)
def test_fingerprints_are_equal_for_equal_sales_and_no_others(one: NewSale, other: NewSale) -> None:
    assert (one.fingerprint() == other.fingerprint()) == (one == other)
    assert len(one.fingerprint()) == 32


@given(new_sales, st.data())
def test_each_part_of_a_sale_is_in_its_fingerprint(new: NewSale, data: st.DataObject) -> None:
    def changed(item: Item) -> list[Item]:
        return [
            dataclasses.replace(item, stock_code=item.stock_code + "x"),
            dataclasses.replace(item, description=item.description + "x"),
            dataclasses.replace(item, quantity=item.quantity + 1),
            dataclasses.replace(item, unit_price=item.unit_price + Decimal("0.0001")),
            dataclasses.replace(item, currency_code="EUR"),
        ]

    index = data.draw(st.integers(0, len(new.items) - 1))
    before, item, after = new.items[:index], new.items[index], new.items[index + 1 :]
    others = [
        dataclasses.replace(new, customer_id=new.customer_id + "x"),
        dataclasses.replace(new, country=new.country + "x"),
        dataclasses.replace(new, items=[*before, *after]),
        dataclasses.replace(new, items=[*before, item, item, *after]),
        *(dataclasses.replace(new, items=[*before, other, *after]) for other in changed(item)),
    ]
    assert len({sale.fingerprint() for sale in [new, *others]}) == 1 + len(others)


def test_how_a_price_is_written_is_not_in_the_fingerprint() -> None:
    assert sold("GBP", price="2.5").fingerprint() == sold("GBP", price="2.5000").fingerprint()


@given(st.permutations(["GBP", "EUR", "EUR"]))
def test_currencies_are_not_mixed(codes: list[str]) -> None:
    with pytest.raises(CurrenciesMixedError) as refused:
        recorded(sold(*codes))
    assert refused.value.currencies == ["EUR", "GBP"]
    assert list(refused.value.lines) == [index for index, code in enumerate(codes) if code != codes[0]]


def test_unknown_currencies_are_named_before_mixed_ones() -> None:
    with pytest.raises(CurrencyUnknownError) as refused:
        recorded(sold("GBP", "XQX", "XTS", "EUR"))
    assert refused.value.currency_code == "XQX"
    assert list(refused.value.lines) == [1, 2]


def test_currencies_are_codes_of_three_letters_and_of_today() -> None:
    assert all(len(code) == 3 and code.isalpha() and code.isupper() for code in ISO_4217)
    assert {"GBP", "EUR", "USD", "JPY", "XCG", "ZWG"} <= ISO_4217
    assert not {"BGN", "HRK", "ANG", "XAU", "XTS", "XXX", "DEM"} & ISO_4217


def test_a_total_stays_below_what_money_can_say() -> None:
    lines = ["GBP"] * 1000
    total = recorded(sold(*lines, quantity=10**6, price="999999999.9999")).total
    assert total == Decimal("999999999999900000.0000")
    with pytest.raises(TotalTooLargeError):
        recorded(sold(*lines, "GBP", quantity=10**6, price="999999999.9999"))
    assert TOTAL_LIMIT < 2**63
