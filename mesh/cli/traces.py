"""`meshctl traces`: what calls did on their way, from the traces that the processes of this machine have kept."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from mesh.local import LocalError, Stack
from mesh.telemetry.traces import Node, Span, Trace, read

_PIPE_WIDTH = 160
_SHORTEST_ID = 6
_REQUEST_IDS = ("mesh.request_id", "guid:x-request-id")  # of our spans, and of Envoy's
_NAMES = (
    "OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED "
    "RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS "
    "UNAUTHENTICATED"
)
_CODES = dict(enumerate(_NAMES.split()))
"""https://grpc.io/docs/guides/status-codes; grpc itself takes too long to import."""


def traces(  # noqa: PLR0917 - options
    context: typer.Context,
    trace: Annotated[
        str,
        typer.Argument(
            metavar="[TRACE_ID]",
            help="Show this one as a tree: the beginning of its id, or the x-request-id of the edge.",
        ),
    ] = "",
    last: Annotated[int, typer.Option("--last", "-n", help="How many to list.", min=1)] = 20,
    min_ms: Annotated[float, typer.Option("--min-ms", help="Only those that took so many milliseconds.", min=0)] = 0,
    errors: Annotated[bool, typer.Option("--errors", help="Only those in which something failed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """List the latest traces, the newest first, or show one as a tree of who called whom and how long it took.

    Not every call is traced: 1 % of those that bring no trace of their own, unless the live setting trace_ratio or
    EDGE_TRACE_PERCENT says otherwise. A call that sends a traceparent with the sampled flag always is:

    curl -H "traceparent: 00-$(openssl rand -hex 16)-$(openssl rand -hex 8)-01" ...
    """
    stack = Stack.load(context.obj)
    found = read(stack.run.path)
    if trace:
        found = _named(found, trace)
    else:
        found = [each for each in found if each.milliseconds >= min_ms and (each.failed or not errors)][:last]
    if as_json:
        typer.echo(json.dumps([asdict(each) | {"milliseconds": each.milliseconds} for each in found], indent=2))
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPE_WIDTH)
    if trace:
        console.print(_tree(found[0]))
    elif found:
        console.print(_list(found))
    else:
        typer.echo(f"no such trace in {stack.run.path}", err=True)


def _named(known: Sequence[Trace], beginning: str) -> list[Trace]:
    """The one trace whose id or request id begins so. Raises LocalError if there is none or more."""
    wanted = beginning.lower()
    found = [
        each
        for each in known
        if each.trace_id.startswith(wanted)
        or any(str(span.attributes.get(name, "")).startswith(wanted) for span in each.spans for name in _REQUEST_IDS)
    ]
    if len(beginning) < _SHORTEST_ID or len(found) > 1:
        raise LocalError(f"{beginning!r} is too little of a trace id to tell which")
    if not found:
        raise LocalError(f"there is no trace {beginning}: it was not sampled, or it is too long ago")
    return found


def _list(found: Sequence[Trace]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("TRACE", "BEGAN", "MS", "SPANS", "SERVICES", "CALL", "FAILED AT"):
        table.add_column(title, justify="right" if title in {"MS", "SPANS"} else "left", no_wrap=title == "TRACE")
    for each in found:
        spans = sorted(each.spans, key=lambda span: span.start)
        # An edge calls all that it does the same; what it was asked for says the span behind it.
        told = next((span for span in spans if span.name.startswith("/")), spans[0])
        table.add_row(
            each.trace_id,
            f"{datetime.fromtimestamp(each.start / 1e9, UTC):%H:%M:%S.%f}"[:-3],
            f"{each.milliseconds:.1f}",
            str(len(spans)),
            ", ".join(dict.fromkeys(span.service for span in spans)),
            Text(told.name, style="red" if each.failed else ""),
            Text(_failed_at(spans), style="red"),
        )
    return table


def _failed_at(spans: Sequence[Span]) -> str:
    """Where the failure began, as far as is known: in the last span that failed without one that it waited for."""
    failed = [span for span in spans if span.failed]
    waited = {span.parent_id for span in failed}
    ends = [span for span in failed if span.span_id not in waited]
    return f"{ends[-1].instance or ends[-1].service} {_status(ends[-1])}" if ends else ""


def _status(span: Span) -> str:
    """ "NOT_FOUND" or "HTTP 404"; empty if it says neither."""
    if (code := span.attributes.get("rpc.grpc.status_code")) is not None:
        return _CODES.get(code, str(code))
    http = span.attributes.get("http.status_code")
    return f"HTTP {http}" if http else ""


def _tree(trace: Trace) -> Tree:
    tree = Tree(Text(f"{trace.trace_id}  {trace.milliseconds:.1f} ms", style="bold"))
    for root in trace.roots:
        _add(tree, root, trace.start)
    return tree


def _add(tree: Tree, node: Node, start: int) -> None:
    branch = tree.add(_line(node.span, start))
    for child in node.children:
        _add(branch, child, start)


def _line(span: Span, start: int) -> Text:
    parts = [
        f"{span.instance or span.service} {span.kind} {span.name}",
        f"{span.milliseconds:.1f} ms",
        f"at +{(span.start - start) / 1e6:.1f} ms",
        *_details(span),
    ]
    return Text("  ".join(parts), style="red" if span.failed else "")


def _details(span: Span) -> Iterator[str]:
    if (status := _status(span)) and status != "OK":
        yield status
    if peer := span.attributes.get("mesh.peer"):
        yield f"from {peer}"
