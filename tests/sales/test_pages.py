"""Pages of listings while sales are recorded, and of sales of many lines."""

import pytest
from retail.sales.v1 import sales_service_pb2 as pb
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceStub

from services.sales.store import sales as store
from tests.calls import all_rows
from tests.sales.selling import line, recording


async def test_sales_recorded_meanwhile_do_not_disturb_a_listing(sales: SalesServiceStub) -> None:
    async def record() -> str:
        return (await sales.RecordSale(recording(customer_id="meanwhile"))).sale.sale_id

    async def ask(token: str) -> pb.ListSalesResponse:
        request = pb.ListSalesRequest(page_size=2, filter="customer_id = meanwhile", page_token=token)
        page = await sales.ListSales(request)
        await record()
        return page

    before = [await record() for _ in range(9)]
    assert [sale.sale_id for sale in await all_rows(ask, "sales")] == before[::-1]


async def test_a_page_ends_early_so_that_it_stays_a_message(
    sales: SalesServiceStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PAGE_LINES", 10)
    for lines in (4, 4, 3, 25, 1, 10):
        await sales.RecordSale(recording(*[line()] * lines, customer_id="early"))
    sizes = []

    async def ask(token: str) -> pb.ListSalesResponse:
        page = await sales.ListSales(
            pb.ListSalesRequest(filter="customer_id = early", order_by="create_time", page_token=token)
        )
        sizes.append([len(sale.lines) for sale in page.sales])
        return page

    await all_rows(ask, "sales")
    assert sizes == [[4, 4], [3], [25], [1], [10]]


async def test_a_page_of_the_largest_sales_is_a_message(sales: SalesServiceStub) -> None:
    long = line("X" * 32, description="\N{OLD PERSIAN SIGN AURAMAZDAAHA}" * 256)
    for lines in (10_000, 9_999, 1):
        await sales.RecordSale(recording(*[long] * lines, customer_id="huge"))
    wanted = pb.ListSalesRequest(filter="customer_id = huge")
    page = await sales.ListSales(wanted)
    assert [len(sale.lines) for sale in page.sales] == [1, 9_999]
    wanted.page_token = page.next_page_token
    page = await sales.ListSales(wanted)
    assert ([len(sale.lines) for sale in page.sales], page.next_page_token) == ([10_000], "")
