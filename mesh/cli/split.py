"""`meshctl split`: which version gets how many of a service's calls."""

import json
from collections import Counter
from typing import Annotated

import typer

from mesh.cli.consul import show, tell_if_unknown, with_consul
from mesh.cli.live import checked_name
from mesh.live import split as splits
from mesh.local import LocalError
from mesh.registry import Registry


def split(
    context: typer.Context,
    service: str,
    weights: Annotated[
        list[str] | None, typer.Argument(metavar="[VERSION=PERCENT...]", help="All versions; 100 in all.")
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Divide no more: every instance gets its turn.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show or set how the calls of a service are divided between its versions.

    meshctl split sales 1.2.0=90 1.3.0=10

    A version is what its instances have as MESH_VERSION.
    """
    checked_name(service)
    if clear and weights:
        raise LocalError("--clear takes no weights")

    async def work(registry: Registry) -> tuple[dict[str, float], Counter[str]]:
        if clear:
            await splits.clear(registry, service)
        elif weights:
            await splits.write(registry, service, _weights(weights))
        await tell_if_unknown(registry, service)
        instances = await registry.healthy(service)
        return await splits.read(registry, service), Counter(dict(i.meta).get("version", "") for i in instances)

    try:
        divided, running = with_consul(context, work)
    except splits.SplitError as problem:
        raise LocalError(f"nothing was changed for {service}: {problem}") from problem
    versions = sorted(divided.keys() | running.keys())
    if as_json:
        rows = [{"version": v, "percent": divided.get(v) if divided else None, "healthy": running[v]} for v in versions]
        typer.echo(json.dumps({"service": service, "split": bool(divided), "versions": rows}, indent=2))
    else:
        _show(service, divided, running, versions)
    for version, weight in divided.items():
        if weight and not running[version]:
            typer.echo(
                f"warning: no healthy instance runs version {version}: the others get its {weight:g} %", err=True
            )


def _show(service: str, divided: dict[str, float], running: Counter[str], versions: list[str]) -> None:
    if not divided:
        typer.echo(f"{service} is not divided: every instance gets its turn", err=True)
    rows = [
        (version, f"{divided.get(version, 0):g} %" if divided else "", str(running[version])) for version in versions
    ]
    show(("VERSION", "SHARE", "HEALTHY INSTANCES"), rows)


def _weights(items: list[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for item in items:
        version, _, percent = item.rpartition("=")
        try:
            weight = float(percent.removesuffix("%"))
        except ValueError:
            version = ""
        if not version:
            raise splits.SplitError(f"{item!r} is not VERSION=PERCENT, as in 1.2.0=90")
        if version in found:
            raise splits.SplitError(f"version {version} is given twice")
        found[version] = weight
    return found
