"""The verbs of meshctl itself."""

import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from mesh.cli.execute import execute
from mesh.cli.verbs import Verbs
from mesh.local import Lines, LocalError, Stack, project_root
from mesh.local.logs import Logs

NOT_UP = 3
"""Exit status of `status` if nothing runs, as systemctl has it. 1 says that something is unhealthy."""

app = typer.Typer(
    cls=Verbs,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Run and watch the whole stack on this machine: components, control plane, services and edge.\n\n"
    "What the stack consists of is declared in mesh.toml. All its state is in one folder, .run beside that file, or "
    "$MESH_RUN_DIR.\n\n"
    "A component is replaced by one of yours if its address is set when the stack starts: CONSUL_HTTP_ADDR, "
    "DATABASE_URL, REDIS_URL, SPARK_REMOTE (sc://host:port), LAKEHOUSE_URI.",
)


@app.callback()
def project(
    context: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Option("--project", help="Folder with mesh.toml; by default the nearest one upwards.", exists=True),
    ] = None,
) -> None:
    context.obj = folder or project_root(Path.cwd())


@app.command()
def up(
    context: typer.Context,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when everything is ready.")] = False,
    replicas: Annotated[
        list[str] | None,
        typer.Option(metavar="SERVICE=N", help="Run N instances of SERVICE. May be repeated, also on a running stack."),
    ] = None,
) -> None:
    """Start everything and wait until it really answers.

    Without --detach it then shows the logs of the services, and Ctrl-C stops the stack.

    On a running stack it starts what is missing, scales if told, and returns.

    A taken port is no error: another one is used, and said.
    """
    stack = Stack.load(context.obj)
    signal.signal(signal.SIGTERM, _interrupt)  # both end a stack that is half started or in the foreground
    started = stack.up(dict(map(_replicas, replicas or ())), Lines())
    if detach or not started:
        typer.echo("ready" if started else "ready (it was up already)", err=True)
        return
    typer.echo("ready; Ctrl-C stops it", err=True)
    try:
        own = set(stack.declaration.services) | {"control", "supervisor"}
        for name, line in Logs(stack.run).follow(""):
            if name in own or name.rpartition("-")[0] in own:
                typer.echo(f"{name} | {line}")
    except KeyboardInterrupt:
        typer.echo("stopping", err=True)
    finally:
        stack.down(Lines())


@app.command()
def down(context: typer.Context) -> None:
    """Stop everything, also what a killed supervisor left. The data stays."""
    typer.echo("stopped" if Stack.load(context.obj).down(Lines()) else "nothing ran", err=True)


@app.command()
def status(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False
) -> None:
    """Show every component and instance: address, health, version, since when, restarts.

    Exit status: 0 all healthy, 1 something is not, 3 nothing runs.
    """
    stack = Stack.load(context.obj)
    rows = stack.status()
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], indent=2))
    elif rows:
        from mesh.cli.table import show  # noqa: PLC0415 - rich's tables take a while to import

        show(rows)
    if not rows:
        typer.echo(f"nothing runs in {stack.run.path}: start it with meshctl up", err=True)
        raise typer.Exit(NOT_UP)
    if not all(row.healthy for row in rows):
        raise typer.Exit(1)


@app.command()
def logs(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(metavar="[SERVICE]", help="Service, instance (sales-1), component, control or supervisor."),
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the last lines of each log.", min=0)] = 50,
) -> None:
    """Show what a part has written, with its crashes and restarts; without SERVICE, of all parts."""
    source = Logs(Stack.load(context.obj).run)
    for program, line in source.last(name, lines):
        typer.echo(f"{program} | {line}")
    if follow:
        for program, line in source.follow(name):
            typer.echo(f"{program} | {line}")


app.command("exec", context_settings={"allow_interspersed_args": False})(execute)


def _replicas(text: str) -> tuple[str, int]:
    service, _, number = text.partition("=")
    if not service or not number.isdecimal():
        raise LocalError(f"--replicas takes SERVICE=NUMBER, as in sales=3, not {text!r}")
    return service, int(number)


def _interrupt(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.exit(143)
