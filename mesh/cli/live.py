"""`meshctl live`: what may be changed while services run."""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Annotated, Any

import typer

from mesh.cli.consul import show, tell_if_unknown, with_consul
from mesh.live.edit import Document, assigned, drop, edit, put
from mesh.live.follow import key
from mesh.live.reference import flat, keys
from mesh.live.settings import NAME, Fault, LiveSettings, LiveSettingsError
from mesh.local import LocalError
from mesh.registry import Registry


def live(
    context: typer.Context,
    service: Annotated[str, typer.Argument(help="Without it: every key there is.")] = "",
    change: Annotated[
        list[str] | None, typer.Argument(help="set KEY=VALUE..., unset KEY... or unset --all", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="With unset: back to the defaults.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show or change the settings of a service that take effect at once: log level, limits, retries, breaker.

    meshctl live sales set limits.max_concurrent_calls=50 log_level=DEBUG

    A value is JSON; what is not JSON is a text. Nothing is written unless all of it is valid, and nobody else's
    change is overwritten.

    Exit status: 1 the settings that stand in Consul are not valid, and instances keep those from before.
    """
    if not service:
        _show_keys(as_json=as_json)
        return
    checked_name(service)
    if change:
        verb, *items = change
        with_consul(context, lambda registry: _change(registry, service, verb, items, everything=everything))
    document = with_consul(context, lambda registry: _read(registry, service, told=bool(change)))
    if not _show(service, document, as_json=as_json):
        raise typer.Exit(1)


def checked_name(name: str) -> str:
    """A name of a service or a fault. Raises LocalError."""
    if not re.fullmatch(NAME, name):
        raise LocalError(f"{name!r} is no name: lower-case letters, digits and dashes, 63 at most")
    return name


async def change_settings(registry: Registry, service: str, change: Callable[[Document], None]) -> LiveSettings:
    """`edit`, with its refusal as one message. Raises LocalError."""
    try:
        settings = await edit(registry, service, change)
    except LiveSettingsError as problem:
        raise LocalError(f"nothing was changed for {service}: {problem}") from problem
    await tell_if_unknown(registry, service)
    return settings


def does(fault: Fault) -> str:
    """ "delay 0.2 s, abort UNAVAILABLE" """
    delay = [f"delay {fault.delay_seconds:g} s"] if fault.delay_seconds else []
    return ", ".join(delay + ([f"abort {fault.abort}"] if fault.abort else []))


def strikes(fault: Fault) -> str:
    """ "method GetSale or ListSales, caller edge" """
    parts = {"method": fault.methods, "caller": fault.callers}
    named = [f"{what} {' or '.join(names)}" for what, names in parts.items() if names]
    return ", ".join([*named, *(f"header {name}={value}" for name, value in fault.headers.items())]) or "all calls"


async def _change(registry: Registry, service: str, verb: str, items: list[str], *, everything: bool) -> None:
    if verb == "unset" and everything and not items:
        await registry.put(key(service), "{}")
        return
    if verb not in {"set", "unset"} or not items or everything:
        raise LocalError("say what to change: set KEY=VALUE..., unset KEY... or unset --all")
    await change_settings(registry, service, lambda document: _apply(document, verb, items))


def _apply(document: Document, verb: str, items: Iterable[str]) -> None:
    if verb == "set":
        put(document, assigned(items))
    else:
        drop(document, items)


async def _read(registry: Registry, service: str, *, told: bool) -> bytes | None:
    document = await registry.get(key(service))
    if document is None and not told:
        await tell_if_unknown(registry, service)
    return document


def _show_keys(*, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([asdict(key) for key in keys()], indent=2))
        return
    show(
        ("KEY", "DEFAULT", "ALLOWED", "MEANING"), [(key.name, key.default, key.allowed, key.meaning) for key in keys()]
    )


def _show(service: str, document: bytes | None, *, as_json: bool) -> bool:
    """Prints the settings; returns whether they are valid."""
    try:
        settings, problems = LiveSettings.from_json(b"{}" if document is None else document), []
    except LiveSettingsError as refusal:
        settings, problems = None, refusal.lines
    if as_json:
        typer.echo(json.dumps(_as_json(service, settings, problems), indent=2))
    elif settings is not None:
        rows = [(name, json.dumps(value), "" if is_set else "default") for name, value, is_set in flat(settings)]
        rows += [
            (f"faults.{name}", f"{does(fault)}; {fault.percentage:g} % of {strikes(fault)}", "")
            for name, fault in settings.faults.items()
        ]
        show(("KEY", "VALUE", ""), rows)
    if problems:
        typer.echo(f"what stands in Consul's KV under {key(service)} is refused.", err=True)
        typer.echo("Instances keep what they had; one that starts now has the defaults.", err=True)
        for line in problems:
            typer.echo(f"  {line}", err=True)
    return not problems


def _as_json(service: str, settings: LiveSettings | None, problems: list[str]) -> dict[str, Any]:
    return {
        "service": service,
        "valid": not problems,
        "problems": problems,
        "settings": settings.model_dump(mode="json") if settings else None,
        "set": settings.model_dump(mode="json", exclude_unset=True) if settings else None,
    }
