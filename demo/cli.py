"""The verbs that this product adds to meshctl: `demo` and `token`."""

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import grpc
import httpx
import typer
from rich.console import Console

from demo import dataset, main_job
from demo.platform import Platform
from mesh.error import Described, from_rpc_error
from mesh.local import Lines, LocalError, Stack

T = TypeVar("T")


def demo(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Option(help="A CSV or CSV.gz file of the retail dialect, or a folder of them.", exists=True),
    ] = None,
    rows: Annotated[int, typer.Option(help="How many rows to make up, without --data.", min=1)] = 200_000,
) -> None:
    """Load files into the lake, ask for figures over gRPC and REST, and check them against the raw files.

    Without --data it makes up a shop's invoices, oddities and bad rows included, the same each time.

    It starts the stack if it isn't up, and leaves it running. Exit status 1: something failed, or a figure differs from
    what DuckDB finds in the raw files by itself.

    Figures of the whole lake are compared if all files that were ever loaded into it are at hand: those of this call,
    and those that earlier demos have left in the run folder. Otherwise only the counts of the job are.
    """
    stack = Stack.load(context.obj)
    parts = stack.status()
    if not parts or not all(part.healthy for part in parts):
        stack.up(report=Lines())
    made = stack.run.path / "demo"
    files = _csv_files(data) if data else dataset.write(made / f"rows-{rows}", rows)
    if not files:
        raise LocalError(f"{data} holds no *.csv and no *.csv.gz")
    at_hand = [*files, *(path for path in sorted(made.glob("rows-*/*.csv*")) if path not in files)]
    console = Console(width=None if sys.stdout.isatty() else 120)
    platform = Platform.of(stack)
    sound = _run(main_job.main_job(platform, files, at_hand, console))
    main_job.show_what_next(platform, console)
    if not sound:
        raise typer.Exit(1)


def token(
    context: typer.Context,
    user: Annotated[str, typer.Option(help="Whose token.")] = "admin",
    password_file: Annotated[
        Path | None, typer.Option(help="Holds the password; by default the first admin's.", exists=True)
    ] = None,
) -> None:
    """Log in at the running stack and print an access token, good for 15 minutes.

    curl -H "authorization: Bearer $(meshctl token)" ...
    """
    platform = Platform.of(Stack.load(context.obj))
    typer.echo(_run(platform.login(user, password_file)).access_token)


def _csv_files(data: Path) -> list[Path]:
    if data.is_file():
        return [data]
    return sorted(path for pattern in ("*.csv", "*.csv.gz") for path in data.glob(pattern))


def _run(main: Coroutine[Any, Any, T]) -> T:
    """What goes wrong between here and a service is one line, not a traceback."""
    try:
        return asyncio.run(main)
    except grpc.RpcError as failure:
        raise LocalError(_told(from_rpc_error(failure))) from failure
    except httpx.HTTPStatusError as failure:
        answer = failure.response
        raise LocalError(f"{failure.request.url.path} answered {answer.status_code}: {answer.text}") from failure
    except httpx.HTTPError as failure:
        raise LocalError(f"the edge does not answer ({type(failure).__name__}): see meshctl status") from failure


def _told(described: Described) -> str:
    reason = f" {described.reason}" if described.reason else ""
    fields = "".join(f"; {field}: {problem}" for field, problem in described.fields)
    return f"{described.code}{reason}: {described.message}{fields}"
