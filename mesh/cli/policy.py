"""`meshctl policy`: what the contracts say of each method."""

import json
from typing import Annotated, Any

import typer

from mesh.cli.consul import show
from mesh.cli.contracts import Contracts, methods
from mesh.contract import Method
from mesh.local import LocalError


def policy(
    context: typer.Context,
    service: Annotated[str, typer.Argument(help="Without it: all.")] = "",
    contracts: Contracts = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show what the contracts say of each method: who may call it, for how long, how often, and when again.

    Servers, clients and the edge read the same. Which workload may call it is another question: meshctl intentions.
    """
    known = methods(context.obj, contracts)
    if service and service not in known:
        raise LocalError(f"no contract has a service {service!r}; there are {', '.join(sorted(known))}")
    chosen = [(name, each) for name in sorted(known) if service in {"", name} for each in known[name]]
    if as_json:
        typer.echo(json.dumps([_as_json(name, each) for name, each in chosen], indent=2))
        return
    titles = ("SERVICE", "METHOD", "KIND", "ACCESS", "DEADLINE", "RETRIED ON", "LIMITS", "AUDITED")
    show(titles, [_row(name, each) for name, each in chosen])


def _row(name: str, method: Method) -> tuple[str, ...]:
    return (
        name,
        method.path.removeprefix("/"),
        _kind(method),
        method.permission or "public",
        f"{method.default_deadline_seconds:g} s",
        ", ".join(_codes(method)) or "never",
        ", ".join(_limits(method)),
        "yes" if method.audited else "",
    )


def _as_json(name: str, method: Method) -> dict[str, Any]:
    limit = method.rate_limit
    return {
        "service": name,
        "method": method.path.removeprefix("/"),
        "kind": _kind(method),
        "permission": method.permission,
        "deadline_seconds": method.default_deadline_seconds,
        "retry_on": _codes(method),
        "max_concurrent_calls": method.max_concurrent_calls or None,
        "rate_limit": {"calls": limit.calls, "period_seconds": limit.period_seconds} if limit else None,
        "audited": method.audited,
    }


def _kind(method: Method) -> str:
    return {
        (False, False): "unary",
        (False, True): "server stream",
        (True, False): "client stream",
        (True, True): "both stream",
    }[method.client_streaming, method.server_streaming]


def _codes(method: Method) -> list[str]:
    return sorted(code.name for code in method.retry_on)


def _limits(method: Method) -> list[str]:
    rate = method.rate_limit
    return [
        *([f"{rate.calls} in {rate.period_seconds:g} s"] if rate else []),
        *([f"{method.max_concurrent_calls} at a time"] if method.max_concurrent_calls else []),
    ]
