"""`meshctl bootstrap`: what another team's program needs to call services."""

import asyncio
import contextlib
from pathlib import Path
from typing import Annotated

import typer

from mesh.cli.consul import settings, tell_if_unknown, with_consul
from mesh.cli.live import checked_name
from mesh.client.foreign import Kit, provided
from mesh.intentions import ANY, KIND, allowance, amend, rules
from mesh.local import LocalError
from mesh.registry import Registry, RegistryError
from mesh.settings import MeshSettings
from mesh.telemetry import configure_logging


def bootstrap(
    context: typer.Context,
    service: Annotated[str, typer.Option(metavar="NAME", help="As which service the program will call.")],
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the files go; by default ./mesh-NAME.")] = None,
    call: Annotated[
        list[str] | None,
        typer.Option(metavar="DESTINATION", help="Allow it every method of this service. May be repeated."),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep the certificate renewed until Ctrl-C.")] = False,
) -> None:
    """Write what a program of another team, in any language whose gRPC knows xDS, needs to call services.

    That is DIR/bootstrap.json and a certificate, which only their owner can read. Standard output says how to use it.

    The certificate is good for Consul's lifetime of leaves (72 h by default): keep `--watch` running beside the
    program, or run this again in time. gRPC takes the new one by itself.
    """
    for name in (service, *(call or ())):
        checked_name(name)
    folder = (out or Path(f"mesh-{service}")).absolute()
    where = settings(context.obj)

    async def work(registry: Registry) -> list[str]:
        for destination in call or ():
            await tell_if_unknown(registry, destination)
            await amend(registry, destination, allowance(service, [ANY]))
        async with provided(registry, where, service, folder) as kit:
            _tell(kit)
        return sorted(
            rule.destination
            for rule in rules(await registry.config(KIND))
            if rule.source == service and any(permission.allow for permission in rule.permissions)
        )

    try:
        destinations = with_consul(context, work)
        typer.echo(f"it may call {', '.join(destinations) or 'nothing yet: see meshctl intentions allow'}", err=True)
        if watch:
            with contextlib.suppress(KeyboardInterrupt):
                asyncio.run(_watch(where, service, folder))
    except (OSError, RegistryError) as problem:
        raise LocalError(str(problem)) from problem


def _tell(kit: Kit) -> None:
    _, expires = kit.identity.certificate.validity()
    typer.echo(f"the program is {kit.identity.spiffe_id} until {expires:%Y-%m-%d %H:%M} UTC; start it with", err=True)
    typer.echo(f"GRPC_XDS_BOOTSTRAP={kit.bootstrap}")


async def _watch(where: MeshSettings, service: str, folder: Path) -> None:
    configure_logging("meshctl", service)
    async with Registry(where.consul_url) as registry, provided(registry, where, service, folder):
        await asyncio.Event().wait()
