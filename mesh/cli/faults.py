"""`meshctl faults`: the switchboard of failures on purpose."""

import json
import re
from typing import Annotated, Any

import typer

from mesh.cli.consul import show, with_consul
from mesh.cli.live import change_settings, checked_name, does, strikes
from mesh.live.edit import Document, drop
from mesh.live.follow import PREFIX
from mesh.live.settings import LiveSettings, LiveSettingsError
from mesh.local import LocalError
from mesh.registry import Registry

_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0}

faults = typer.Typer(invoke_without_command=True, add_completion=False)


@faults.callback()
def listed(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False
) -> None:
    """Show, add and remove failures on purpose: delays and aborts that services inject into calls they get.

    Without a command: all faults of all services.

    Exit status: 1 what stands in Consul for a service is not valid, so its instances keep the faults they had.
    """
    if context.invoked_subcommand is not None:
        return
    found, refused = with_consul(context, _found)
    if as_json:
        rows = [
            {"service": service, "name": name, **fault.model_dump(mode="json")}
            for service, settings in found.items()
            for name, fault in settings.faults.items()
        ]
        typer.echo(json.dumps(rows, indent=2))
    else:
        table = [
            (service, name, does(fault), f"{fault.percentage:g} %", strikes(fault))
            for service, settings in found.items()
            for name, fault in settings.faults.items()
        ]
        if table:
            show(("SERVICE", "FAULT", "DOES", "SHARE", "OF"), table)
        else:
            typer.echo("no fault is injected", err=True)
    for service in refused:
        typer.echo(f"settings of {service} are refused: see meshctl live {service}", err=True)
    if refused:
        raise typer.Exit(1)


@faults.command()
def add(
    context: typer.Context,
    service: Annotated[str, typer.Argument(help="Whose instances inject it.")],
    name: Annotated[str, typer.Argument(help="A new name for it; the errors and the metrics carry it.")],
    *,
    delay: Annotated[str, typer.Option(help="Hold calls back: 200ms, 1.5s, 2min.")] = "",
    abort: Annotated[str, typer.Option(metavar="CODE", help="End calls with this code, after the delay.")] = "",
    percent: Annotated[float, typer.Option(help="Of the calls that match.")] = 100.0,
    method: Annotated[list[str] | None, typer.Option(help="Only this method, as in GetSale. May be repeated.")] = None,
    caller: Annotated[list[str] | None, typer.Option(help="Only calls of this service. May be repeated.")] = None,
    header: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Only calls with this header. May be repeated.")
    ] = None,
) -> None:
    """Inject a fault from now on, until it is removed."""
    wanted: dict[str, Any] = {
        "delay_seconds": _seconds(delay) if delay else None,
        "abort": abort.upper(),
        "methods": method,
        "callers": caller,
        "headers": dict(map(_header, header or ())),
    }
    fault = {"percentage": percent} | {key: value for key, value in wanted.items() if value}

    def change(document: Document) -> None:
        present = document.setdefault("faults", {})
        if isinstance(present, dict):  # else it is refused as it is
            if name in present:
                raise LocalError(f"{service} has a fault {name} already: remove it first")
            present[name] = fault

    checked_name(service)
    checked_name(name)
    settings = with_consul(context, lambda registry: change_settings(registry, service, change))
    added = settings.faults[name]
    typer.echo(f"{service}: {name}: {does(added)}; {percent:g} % of {strikes(added)}", err=True)


@faults.command()
def remove(context: typer.Context, service: str, name: str) -> None:
    """Inject a fault no more."""

    def change(document: Document) -> None:
        if name not in (document.get("faults") or {}):
            raise LocalError(f"{service} has no fault {name}")
        drop(document, [f"faults.{name}"])

    checked_name(service)
    with_consul(context, lambda registry: change_settings(registry, service, change))
    typer.echo(f"{service}: {name} is removed", err=True)


@faults.command()
def clear(context: typer.Context) -> None:
    """Inject no fault anywhere."""

    async def everywhere(registry: Registry) -> list[str]:
        failed = []
        for key, document in (await registry.get_below(PREFIX)).items():
            if b'"faults"' not in document:
                continue
            service = key.removeprefix(PREFIX)
            try:
                await change_settings(registry, service, lambda content: content.pop("faults", None))
                typer.echo(f"{service}: no fault is injected", err=True)
            except LocalError as problem:
                failed.append(str(problem))
        return failed

    if failed := with_consul(context, everywhere):
        raise LocalError("; ".join(failed))


async def _found(registry: Registry) -> tuple[dict[str, LiveSettings], list[str]]:
    """The valid settings by service, and the services whose settings are not."""
    found, refused = {}, []
    for key, document in sorted((await registry.get_below(PREFIX)).items()):
        service = key.removeprefix(PREFIX)
        try:
            found[service] = LiveSettings.from_json(document)
        except LiveSettingsError:
            refused.append(service)
    return found, refused


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|min)", text)
    if not found:
        raise LocalError(f"--delay takes a time as in 200ms, 1.5s or 2min, not {text!r}")
    return round(float(found[1]) * _UNITS[found[2]], 6)


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise LocalError(f"--header takes NAME=VALUE, not {text!r}")
    return name.lower(), value
