"""What the verbs that talk to Consul share."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import typer
from rich.console import Console
from rich.table import Table

from mesh.local import LocalError, Stack
from mesh.registry import Registry, RegistryError
from mesh.settings import MeshSettings, SettingsError

T = TypeVar("T")
_PATIENCE_SECONDS = 10


def with_consul(context: typer.Context, work: Callable[[Registry], Awaitable[T]]) -> T:
    """What `work` returns for the Consul of the running stack, or else of CONSUL_HTTP_ADDR. Raises LocalError."""
    url = settings(context.obj).consul_url

    async def connected() -> T:
        async with Registry(url) as registry, asyncio.timeout(_PATIENCE_SECONDS):
            return await work(registry)

    try:
        return asyncio.run(connected())
    except RegistryError as problem:
        raise LocalError(str(problem)) from problem
    except TimeoutError:
        raise LocalError(f"Consul at {url} does not answer") from None


async def tell_if_unknown(registry: Registry, service: str) -> None:
    """A misspelt name should be seen, and one may be prepared for a service that is not there yet."""
    if service not in await registry.services():
        typer.echo(f"note: no service is registered as {service}", err=True)


def show(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table; where the width is not a person's, nothing is cut."""
    console = Console()
    if not console.is_terminal:
        widest = (max(map(len, column)) for column in zip(titles, *rows, strict=True))
        console = Console(width=sum(width + 2 for width in widest))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table, markup=False, highlight=False)


def settings(project: Path) -> MeshSettings:
    """Where the running stack is, or else what this process's environment says. Raises LocalError."""
    given: Mapping[str, str]
    try:
        given = Stack.load(project).environment
        if "CONSUL_HTTP_ADDR" not in given:
            raise LocalError("the running stack has no Consul")
    except LocalError as problem:
        if "CONSUL_HTTP_ADDR" not in os.environ:
            raise LocalError(f"{problem}, or set CONSUL_HTTP_ADDR to a Consul elsewhere") from problem
        given = os.environ
    try:
        return MeshSettings.from_environment(given)
    except SettingsError as problem:
        raise LocalError(str(problem)) from problem
