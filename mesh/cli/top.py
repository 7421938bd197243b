"""`meshctl top`: what services are doing right now."""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mesh.cli.consul import with_consul
from mesh.local import LocalError
from mesh.local.scrape import metrics
from mesh.registry import Instance, Registry
from mesh.telemetry.figures import (
    DestinationFigures,
    MethodFigures,
    Observed,
    Scrape,
    destinations,
    methods,
    scraped,
)
from mesh.telemetry.metrics import META

_SCRAPE_SECONDS = 3
_PIPE_WIDTH = 160


class By(StrEnum):
    """What a line is of."""

    SERVICE = "service"
    VERSION = "version"
    INSTANCE = "instance"

    def of(self, instance: Instance) -> str:
        """ "sales", "sales 1.2.0" or "sales-1" """
        if self is By.VERSION:
            return f"{instance.service} {dict(instance.meta).get('version', '')}"
        return instance.id if self is By.INSTANCE else instance.service


def top(  # noqa: PLR0917 - options
    context: typer.Context,
    service: Annotated[str, typer.Argument(metavar="[SERVICE]", help="Only this service and its callers.")] = "",
    interval: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.2, max=60)] = 2.0,
    by: Annotated[
        By, typer.Option(help="A line for each service, or for each of its versions or instances.")
    ] = By.SERVICE,
    once: Annotated[bool, typer.Option("--once", help="Print one interval and return.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one interval as JSON, for programs.")] = False,
) -> None:
    """Show live rates, errors and durations of every method, and how callers fare with whom they call.

    Errors are calls that failed by the service's own fault or were refused as it had no room; calls that were wrong
    are not. Durations are of calls that ended within the interval.
    """
    before = _scrape(context)
    if service and all(instance.service != service for instance, _, _ in before.values()):
        raise LocalError(
            f"no healthy instance of {service} tells its metrics; there are {', '.join(_services(before))}"
        )
    time.sleep(interval)
    after = _scrape(context, before)
    if as_json:
        calls, callers = _figures(before, after, service, by)
        typer.echo(json.dumps({"methods": [*map(asdict, calls)], "destinations": [*map(asdict, callers)]}, indent=2))
        return
    console = Console()
    if once or not console.is_terminal:
        console = console if console.is_terminal else Console(width=_PIPE_WIDTH)
        console.print(_shown(*_figures(before, after, service, by)))
        return
    with Live(_shown(*_figures(before, after, service, by)), console=console, screen=True) as screen:
        while True:
            time.sleep(interval)
            before, after = after, _scrape(context, after)
            screen.update(_shown(*_figures(before, after, service, by)))


_Look = dict[str, tuple[Instance, float, Scrape]]
"""By id of the instance, when it was asked and what it said."""


def _scrape(context: typer.Context, before: _Look | None = None) -> _Look:
    """Asks all instances; while Consul is away, those of the look before."""
    try:
        instances = with_consul(context, _instances)
    except LocalError:
        if before is None:
            raise
        instances = [instance for instance, _, _ in before.values()]
    if not instances and before is None:
        raise LocalError("no healthy instance of any service tells its metrics")
    with ThreadPoolExecutor() as pool:
        said = pool.map(_ask, instances)
    return {each.id: (each, moment, scrape) for each, (moment, scrape) in zip(instances, said, strict=True) if scrape}


def _services(look: _Look) -> list[str]:
    return sorted({instance.service for instance, _, _ in look.values()})


async def _instances(registry: Registry) -> list[Instance]:
    names = sorted(await registry.services())
    known = [instance for name in names for instance in await registry.healthy(name)]
    return [instance for instance in known if META in dict(instance.meta)]


def _ask(instance: Instance) -> tuple[float, Scrape]:
    """When, and what it said; nothing if it is going or gone."""
    moment = time.monotonic()
    text = metrics(instance.host, dict(instance.meta)[META], _SCRAPE_SECONDS)
    try:
        return moment, scraped(text or "")
    except ValueError:  # it is text, and not Prometheus'
        return moment, {}


def _figures(before: _Look, after: _Look, service: str, by: By) -> tuple[list[MethodFigures], list[DestinationFigures]]:
    """Of one service: its methods, whom it calls, and who calls it."""
    own = _observed(before, after, by, lambda each: service in {"", each.service})
    others = _observed(before, after, by, lambda each: service not in {"", each.service})
    callers = [row for row in destinations(others) if row.destination == service]
    return methods(own), destinations(own) + callers


def _observed(before: _Look, after: _Look, by: By, wanted: Callable[[Instance], bool]) -> list[Observed]:
    """An instance that has just come has no interval yet; one that is the same by name alone counts from nothing."""
    found = []
    for name, (instance, moment, scrape) in after.items():
        if name in before and wanted(instance):
            _, earlier, old = before[name]
            found.append(Observed(by.of(instance), old, scrape, max(moment - earlier, 1e-3)))
    return found


def _shown(calls: Sequence[MethodFigures], callers: Sequence[DestinationFigures]) -> Group:
    return Group(_methods(calls), Text(), _destinations(callers))


def _methods(rows: Sequence[MethodFigures]) -> Table:
    table = _table("SERVICE", "METHOD", "CALLS/S", "ERRORS", "P50 MS", "P99 MS", "IN FLIGHT")
    for row in rows:
        table.add_row(
            row.service,
            row.method,
            f"{row.calls_per_second:.1f}",
            _errors(row.errors_percent),
            _duration(row.p50_milliseconds),
            _duration(row.p99_milliseconds),
            str(row.in_flight),
        )
    return table


def _destinations(rows: Sequence[DestinationFigures]) -> Table:
    table = _table("CALLER", "DESTINATION", "CALLS/S", "ERRORS", "RETRIES/S", "BREAKER")
    for row in rows:
        table.add_row(
            row.caller,
            row.destination,
            f"{row.calls_per_second:.1f}",
            _errors(row.errors_percent),
            f"{row.retries_per_second:.1f}",
            Text(row.breaker, style="" if row.breaker == "closed" else "bold red"),
        )
    return table


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, title in enumerate(titles):
        table.add_column(title, justify="left" if number < 2 or title == "BREAKER" else "right")
    return table


def _errors(percent: float) -> Text:
    return Text(f"{percent:.1f}%", style="bold red" if percent else "")


def _duration(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.1f}"
