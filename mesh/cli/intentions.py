"""`meshctl intentions`: which workload may call what."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from mesh.cli.consul import show, tell_if_unknown, with_consul
from mesh.cli.contracts import Contracts, methods
from mesh.cli.live import checked_name
from mesh.intentions import ANY, KIND, Rule, allowance, amend, entry, refusal, rules, ruling
from mesh.local import LocalError
from mesh.local.declaration import Declaration
from mesh.registry import Registry

intentions = typer.Typer(invoke_without_command=True, add_completion=False)

Source = Annotated[str, typer.Argument(help="Who calls: a service, or * for all.")]
Destination = Annotated[str, typer.Argument(help="Who is called: a service, or * for all.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

_SAME, _DIFFERENT, _UNDECLARED = "as declared", "declared otherwise", "not declared"


@intentions.callback()
def listed(context: typer.Context, as_json: AsJson = False) -> None:
    """Show and change which workload may call which method. What no intention allows is refused.

    Without a command: what is in force, that of highest precedence first. Of all that match a call only the first
    counts, and in it the first line that speaks of the method.

    `meshctl up` applies what mesh.toml declares when it starts a stack; what has been changed since is marked.
    """
    if context.invoked_subcommand is not None:
        return
    known = with_consul(context, _in_force)
    declared = _declared(context)
    missing = [declared[pair] for pair in sorted(declared.keys() - set(map(_pair, known)))]
    if as_json:
        rows = [{**_as_json(rule), "declared": _standing(rule, declared)} for rule in known]
        lost = [_as_json(rule) for rule in missing]
        typer.echo(json.dumps({"in_force": rows, "declared_but_not_in_force": lost}, indent=2))
        return
    show(
        ("SOURCE", "DESTINATION", "", "METHODS", "PRECEDENCE", "IN MESH.TOML"),
        [
            (rule.source, rule.destination, verdict, shown, str(rule.precedence), _standing(rule, declared))
            for rule in known
            for verdict, shown in _lines(rule)
        ],
    )
    for rule in missing:
        typer.echo(f"declared and not in force: {rule.source} -> {rule.destination}", err=True)


@intentions.command()
def check(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="The service that calls.")],
    method: Annotated[str, typer.Argument(metavar="METHOD", help="package.Service/Method")],
    contracts: Contracts = None,
    as_json: AsJson = False,
) -> None:
    """Tell whether a workload may call a method, and which intention says so.

    Exit status: 0 it may, 1 it is refused, 2 there is no such method.
    """
    checked_name(source)
    path = "/" + method.removeprefix("/")
    found = (name for name, each in methods(context.obj, contracts).items() if path in {one.path for one in each})
    destination = next(found, None)
    if destination is None:
        raise typer.BadParameter(f"no contract has {method}: meshctl policy lists all", param_hint="METHOD")
    rule = ruling(with_consul(context, _in_force), source, destination)
    allowed = rule is not None and rule.allows(path)
    if as_json:
        told = {"allowed": allowed, "destination": destination, "by": _as_json(rule) if rule else None}
        typer.echo(json.dumps(told, indent=2))
    else:
        verdict = "allowed" if allowed else "refused"
        by = f"by the intention {rule.source} -> {rule.destination}" if rule else "no intention speaks of it"
        typer.echo(f"{verdict}: {source} -> {destination} {method.removeprefix('/')}, {by}")
    if not allowed:
        raise typer.Exit(1)


@intentions.command()
def allow(
    context: typer.Context,
    source: Source,
    destination: Destination,
    only: Annotated[
        list[str] | None,
        typer.Argument(metavar="[METHOD...]", help="package.Service/Method or package.Service/*; without: all."),
    ] = None,
) -> None:
    """Allow a source these methods of a destination and no others. What other sources may do stays as it is."""
    try:
        saying = allowance(source, only or [ANY])
    except ValueError as problem:
        raise LocalError(str(problem)) from problem
    _write(context, source, destination, saying)


@intentions.command()
def deny(context: typer.Context, source: Source, destination: Destination) -> None:
    """Refuse a source every method of a destination, also where an intention for all sources would allow it."""
    _write(context, source, destination, refusal(source))


def _write(context: typer.Context, source: str, destination: str, saying: Mapping[str, Any]) -> None:
    for name in (source, destination):
        if name != ANY:
            checked_name(name)

    async def work(registry: Registry) -> None:
        await amend(registry, destination, saying)
        if destination != ANY:
            await tell_if_unknown(registry, destination)

    with_consul(context, work)
    (rule,) = rules([{"Name": destination, "Sources": [saying]}])
    told = "; ".join(f"{verdict} {methods}" for verdict, methods in _lines(rule))
    typer.echo(f"{source} -> {destination}: {told}", err=True)


async def _in_force(registry: Registry) -> list[Rule]:
    return rules(await registry.config(KIND))


def _declared(context: typer.Context) -> dict[tuple[str, str], Rule]:
    declared = Declaration.load(context.obj).intentions
    try:
        made = rules([entry(destination, sources) for destination, sources in declared.items()])
    except ValueError as problem:
        raise LocalError(f"intentions of mesh.toml: {problem}") from problem
    return {_pair(rule): rule for rule in made}


def _pair(rule: Rule) -> tuple[str, str]:
    return rule.source, rule.destination


def _standing(rule: Rule, declared: Mapping[tuple[str, str], Rule]) -> str:
    wanted = declared.get(_pair(rule))
    if wanted is None:
        return _UNDECLARED
    return _SAME if wanted.permissions == rule.permissions else _DIFFERENT


def _lines(rule: Rule) -> list[tuple[str, str]]:
    return [("allow" if each.allow else "deny", each.shown) for each in rule.permissions]


def _as_json(rule: Rule) -> dict[str, Any]:
    return {
        "source": rule.source,
        "destination": rule.destination,
        "precedence": rule.precedence,
        "permissions": [{"action": verdict, "methods": shown} for verdict, shown in _lines(rule)],
    }
