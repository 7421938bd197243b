"""The rules of the figures and of listings, without I/O."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.domain.analytics import Analytics, Edition, Facts, Page, Place, Version, Window
from services.analytics.domain.figures import Kpis, Revenue
from services.analytics.domain.questions import (
    Grouping,
    KpisQuestion,
    Measure,
    Order,
    RevenueQuestion,
    TopProductsQuestion,
)

NO_KPIS = Kpis(Decimal(0), 0, 0, 0, 0, 0, 0, 0, Decimal(0), 0, None, None)
OLD = Edition(Version(3, 1000), Version(1, 900))
NEW = Edition(Version(4, 2000), Version(1, 900))


def test_there_is_no_average_order_without_a_sale() -> None:
    assert NO_KPIS.average_order_value is None


@pytest.mark.parametrize(
    ("revenue", "invoices", "average"),
    [("1", 3, "0.3333"), ("2", 3, "0.6667"), ("0.0001", 2, "0.0001"), ("0.0003", 4, "0.0001"), ("10", 4, "2.5000")],
)
def test_the_average_order_is_rounded_half_up(revenue: str, invoices: int, average: str) -> None:
    kpis = replace(NO_KPIS, sale_revenue=Decimal(revenue), sale_invoice_count=invoices)
    assert str(kpis.average_order_value) == average


@given(st.decimals(0, 10**30, places=4), st.integers(1, 2**63))
def test_the_average_order_is_rounded_once(revenue: Decimal, invoices: int) -> None:
    average = replace(NO_KPIS, sale_revenue=revenue, sale_invoice_count=invoices).average_order_value
    assert average is not None
    exact = Fraction(revenue) / invoices * 10_000
    assert Fraction(average) * 10_000 == (exact + Fraction(1, 2)).__floor__()


def test_months_come_by_key_and_all_else_by_revenue() -> None:
    best_first = (Order(Measure.REVENUE, descending=True), Order(Measure.KEY))
    assert RevenueQuestion.ask(Grouping.MONTH, None).orders == (Order(Measure.KEY),)
    for grouping in (Grouping.COUNTRY, Grouping.PRODUCT, Grouping.CUSTOMER):
        assert RevenueQuestion.ask(grouping, None).orders == best_first
    assert TopProductsQuestion.ask(None).orders == best_first


@given(st.lists(st.builds(Order, st.sampled_from(Measure), st.booleans()), unique_by=lambda order: order.by))
def test_every_order_is_total(orders: list[Order]) -> None:
    assert Measure.KEY in {order.by for order in RevenueQuestion.ask(Grouping.MONTH, None, tuple(orders)).orders}


@dataclass(frozen=True)
class NumberedFacts:
    """Facts with so many groups, their keys numbered."""

    edition: Edition
    groups: int
    currency_code: str = "GBP"

    async def revenue(self, question: RevenueQuestion, window: Window) -> Sequence[Revenue]:
        wanted = range(self.groups)[window.offset : window.offset + window.limit]
        return [Revenue(str(number), str(number), Decimal(number), 1, 1, 1) for number in wanted]

    async def top_products(self, question: TopProductsQuestion, window: Window) -> Sequence[Revenue]:
        raise NotImplementedError

    async def kpis(self, question: KpisQuestion) -> Kpis:
        raise NotImplementedError


class TwoEditions:
    """A lake whose newest edition is NEW, with 5 groups, and that has OLD, with so many groups."""

    def __init__(self, groups: int) -> None:
        self._groups = groups

    async def newest(self) -> Facts:
        return NumberedFacts(NEW, 5)

    async def at(self, edition: Edition) -> Facts:
        assert edition == OLD
        return NumberedFacts(OLD, self._groups)


@given(st.integers(0, 40), st.integers(1, 12))
async def test_pages_give_each_row_once_and_stay_in_their_edition(groups: int, size: int) -> None:
    analytics = Analytics(TwoEditions(groups))
    question = RevenueQuestion.ask(Grouping.COUNTRY, None)
    place: Place | None = Place(OLD, 0)
    pages: list[Page] = []
    while place is not None:
        pages.append(await analytics.revenue(question, size, place))
        place = pages[-1].next
    assert [row.key for page in pages for row in page.rows] == [str(number) for number in range(groups)]
    assert {page.facts.edition for page in pages} == {OLD}
    assert len(pages) == max(1, -(-groups // size))


async def test_a_listing_begins_in_the_newest_edition() -> None:
    page = await Analytics(TwoEditions(0)).revenue(RevenueQuestion.ask(Grouping.COUNTRY, None), 2, None)
    assert page.next == Place(NEW, 2)
