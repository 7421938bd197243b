"""The main job: files in, figures out, and a check of both."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf import json_format
from google.type.money_pb2 import Money
from retail.analytics.v1 import analytics_service_pb2 as analytics
from retail.ingest.v1 import ingest_service_pb2 as ingest
from retail.sales.v1 import sales_service_pb2 as sales
from retail.search.v1 import search_service_pb2 as search
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from demo.platform import Platform
from demo.recompute import Figures, FileFigures, digest, recompute
from mesh.local import LocalError

_INDEX_SECONDS = 20
T = TypeVar("T")


async def main_job(platform: Platform, files: Sequence[Path], at_hand: Sequence[Path], console: Console) -> bool:
    """Does it and shows it; False if a figure differs from what `at_hand`, the raw files, say."""
    tell = Teller(console)
    await tell.step("login: auth, gRPC", platform.login())
    uploaded = await tell.step("upload: ingest, gRPC client stream", platform.upload(files))
    tell.table("Files", ("file", "bytes", "rows", "encoding"), _file_rows(uploaded))
    indexed = (await platform.find_products("any")).table_version
    job = await tell.step("job: ingest, Spark into Delta", _load(platform, uploaded, console))
    await platform.login()  # a big load outlives a token
    tell.table("Conservation", ("file", "rows read", "accepted", "duplicate", "quarantined"), _conservation(job))
    if job.counts.quarantined:
        tell.table("Quarantined", ("reason", "rows"), _reasons(job.counts))

    revenue = await tell.step("revenue by month: analytics, gRPC", platform.revenue_by_month())
    tell.table("Revenue by month", ("month", "revenue", "invoices", "rows"), _revenue(revenue.rows))
    top = await tell.step("top products: analytics, gRPC", platform.top_products())
    tell.table("Top products", ("", "stock code", "description", "revenue", "units"), _products(top.products))
    kpis = await tell.step("key figures: analytics, gRPC", platform.kpis())

    over_rest = await tell.step("the same revenue: GET /v1/revenue at the edge", platform.rest(
        "GET", "/v1/revenue", params={"groupBy": "REVENUE_GROUPING_MONTH", "pageSize": 1000}
    ))  # fmt: skip
    top_over_rest = await tell.step("the same products: GET /v1/products:top at the edge", platform.rest(
        "GET", "/v1/products:top", params={"pageSize": 10}
    ))  # fmt: skip
    recorded, sale = await _record_and_read_a_sale(platform, tell)
    newer = indexed + 1 if job.counts.rows_accepted else indexed
    hits = await _search(platform, tell, top.products, newer)

    loaded = await platform.loaded_files()
    raw = [path for path in at_hand if path in files or digest(path) in loaded]
    own = await tell.step("the raw files themselves: DuckDB", asyncio.to_thread(recompute, raw))
    differences = [
        *_differing("revenue over REST", _as_message(over_rest, revenue), revenue),
        *_differing("top products over REST", _as_message(top_over_rest, top), top),
        *_differing("the sale as it was recorded", recorded, sale),
        *_differing("its total", _amount(sale.total), Decimal("15.30")),
        *_differing("a search finds the top product", bool(hits) >= bool(top.products), True),
        *_job_differences(job, own),
    ]
    whole = loaded <= own.files.keys()
    if whole:
        differences += _lake_differences(tell, own, revenue.rows, kpis)
    else:
        tell.table("Not compared", ("what", "why"), [("the lake's totals", "it holds files that are not at hand")])
    for difference in differences:
        console.print(f"[bold red]DIFFERS[/] {escape(difference)}")
    if not differences:
        which = "all figures" if whole else "all figures but the lake's totals, which nobody can check here,"
        console.print(f"[bold green]{which} agree[/] with the raw files and over both protocols")
    return not differences


def show_what_next(platform: Platform, console: Console) -> None:
    """What runs, and lines to copy."""
    edge = platform.edge
    console.print("\n[bold]Running[/] (meshctl status shows all; meshctl down stops it)")
    console.print(
        f"  edge      http://{edge}  (REST, gRPC, gRPC-web)\n  Consul    {platform.consul}/ui", highlight=False
    )
    console.print(f"  password  of admin: {platform.password_file}", highlight=False, soft_wrap=True)
    console.print("\n[bold]Try[/]")
    lines = [
        "TOKEN=$(.venv/bin/meshctl token)",
        f'curl -H "authorization: Bearer $TOKEN" "http://{edge}/v1/revenue?groupBy=REVENUE_GROUPING_COUNTRY"',
        f'curl -H "authorization: Bearer $TOKEN" "http://{edge}/v1/products:search?query=lantern"',
        f'curl -H "authorization: Bearer $TOKEN" "http://{edge}/v1/jobs?pageSize=1"',
        f"grpcurl -plaintext {edge} list",
        f'grpcurl -plaintext -H "authorization: Bearer $TOKEN" {edge} retail.analytics.v1.AnalyticsService/GetKpis',
    ]
    for line in lines:
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


class Teller:
    """Shows each step with its time, and tables."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def step(self, what: str, work: Awaitable[T]) -> T:
        begin = time.perf_counter()
        result = await work
        self._console.print(f"[bold]{escape(what)}[/]  {(time.perf_counter() - begin) * 1000:,.0f} ms", highlight=False)
        return result

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        table = Table(title=title, title_justify="left", box=None, header_style="dim", pad_edge=False)
        found = [[_shown(value) for value in row] for row in rows]
        for place, column in enumerate(columns):
            numeric = bool(found) and all(_is_number(row[place]) for row in found)
            table.add_column(column, justify="right" if numeric else "left")
        for row in found:
            table.add_row(*map(escape, row))
        self._console.print(table, "")


async def _load(platform: Platform, files: Sequence[ingest.File], console: Console) -> ingest.Job:
    last = await platform.create_job(list({file.file_id: None for file in files}))
    columns = (BarColumn(), TextColumn("{task.percentage:>3.0f} %  {task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("waiting", total=100)
        async for job in platform.watch_job(last.job_id):
            if job.stage != last.stage and not console.is_terminal:
                console.print(f"  {job.progress_percent:>3} %  {_stage(job)}", highlight=False)
            last = job
            bar.update(task, completed=job.progress_percent, description=_stage(job))
    if last.state != ingest.JOB_STATE_SUCCEEDED:
        state = ingest.JobState.Name(last.state).removeprefix("JOB_STATE_")
        raise LocalError(f"job {last.job_id}: {state} {last.error.message}: see meshctl logs ingest")
    return last


def _stage(job: ingest.Job) -> str:
    return ingest.JobStage.Name(job.stage).removeprefix("JOB_STAGE_").lower() if job.stage else "waiting"


async def _record_and_read_a_sale(platform: Platform, tell: Teller) -> tuple[sales.Sale, sales.Sale]:
    """As REST has answered and as gRPC shows it: 6 * 2.55."""
    price = {"currencyCode": "GBP", "units": "2", "nanos": 550_000_000}
    lines = [{"stockCode": "85123A", "description": "WHITE HANGING HEART", "quantity": 6, "unitPrice": price}]
    body = {"sale": {"country": "France", "customerId": "12345", "lines": lines}, "requestId": str(uuid.uuid4())}
    answer = await tell.step(
        "a sale recorded: POST /v1/sales at the edge", platform.rest("POST", "/v1/sales", json=body)
    )
    sale = await tell.step("the sale read: sales, gRPC", platform.sale(answer["sale"]["saleId"]))
    row = (sale.sale_id, sale.country, len(sale.lines), _amount(sale.total))
    tell.table("Sale", ("sale id", "country", "lines", "total"), [row])
    return _as_message(answer["sale"], sale), sale


async def _search(
    platform: Platform, tell: Teller, best: Sequence[analytics.TopProduct], table_version: int
) -> Sequence[search.ProductHit]:
    """For the words of the product that sold best, once the index has `table_version`: within seconds of a load."""
    query = (best[0].description or best[0].stock_code) if best else "lantern"

    async def found() -> search.SearchProductsResponse:
        give_up = time.monotonic() + _INDEX_SECONDS
        while True:
            answer = await platform.find_products(query)
            ready = answer.table_version >= table_version and (answer.hits or not best)
            if ready or time.monotonic() > give_up:
                return answer
            await asyncio.sleep(0.2)

    answer = await tell.step(f"search for '{query}': search, gRPC", found())
    rows = [(hit.stock_code, hit.description, _amount(hit.unit_price), f"{hit.score:.1f}") for hit in answer.hits[:5]]
    tell.table("Products found", ("stock code", "description", "price", "score"), rows)
    return answer.hits


def _job_differences(job: ingest.Job, own: Figures) -> list[str]:
    return [line for report in job.files for line in _file_differences(report, own.files[report.file_id])]


def _lake_differences(
    tell: Teller, own: Figures, revenue: Sequence[analytics.RevenueRow], kpis: analytics.Kpis
) -> list[str]:
    rows = [
        ("revenue", _amount(kpis.revenue), own.revenue),
        ("rows", kpis.row_count, own.row_count),
        ("invoices", kpis.invoice_count, own.invoice_count),
        *((f"revenue {row.key}", _amount(row.revenue), own.revenue_by_month.get(row.key)) for row in revenue),
    ]
    tell.table("The platform and the raw files", ("", "platform", "raw files"), rows)
    missing = own.revenue_by_month.keys() - {row.key for row in revenue}
    return [line for row in rows for line in _differing(*row)] + [f"{month}: missing" for month in sorted(missing)]


def _file_differences(report: ingest.FileReport, own: FileFigures) -> list[str]:
    counts = report.counts
    quarantined = {_reason(each.reason): each.rows for each in counts.quarantined}
    return [
        *_differing(f"{report.filename}: rows read", counts.rows_read, own.rows),
        *_differing(
            f"{report.filename}: accepted or duplicate", counts.rows_accepted + counts.rows_duplicate, own.sound
        ),
        *_differing(f"{report.filename}: quarantined", quarantined, own.quarantined),
    ]


def _differing(what: str, platform: object, raw: object) -> list[str]:
    return [] if platform == raw else [f"{what}: {platform} is not {raw}"]


def _as_message(content: dict[str, Any], like: Any) -> Any:
    return json_format.ParseDict(content, type(like)())


def _file_rows(files: Iterable[ingest.File]) -> Iterable[Sequence[object]]:
    return [(file.filename, file.size_bytes, file.row_count, file.encoding) for file in files]


def _conservation(job: ingest.Job) -> Iterable[Sequence[object]]:
    reports = [(report.filename, report.counts) for report in job.files] + [("all", job.counts)]
    return [
        (name, counts.rows_read, counts.rows_accepted, counts.rows_duplicate, counts.rows_quarantined)
        for name, counts in reports
    ]


def _reasons(counts: ingest.RowCounts) -> Iterable[Sequence[object]]:
    return [(_reason(each.reason), each.rows) for each in counts.quarantined]


def _reason(reason: ingest.QuarantineReason.ValueType) -> str:
    return ingest.QuarantineReason.Name(reason).removeprefix("QUARANTINE_REASON_")


def _revenue(rows: Iterable[analytics.RevenueRow]) -> Iterable[Sequence[object]]:
    return [(row.key, _amount(row.revenue), row.invoice_count, row.row_count) for row in rows]


def _products(products: Iterable[analytics.TopProduct]) -> Iterable[Sequence[object]]:
    return [(each.rank, each.stock_code, each.description, _amount(each.revenue), each.quantity) for each in products]


def _amount(money: Money) -> Decimal:
    return Decimal(money.units) + Decimal(money.nanos).scaleb(-9)


def _shown(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _is_number(text: str) -> bool:
    return text.replace(",", "").replace(".", "").replace("-", "").isdecimal()
