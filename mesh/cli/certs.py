"""`meshctl certs`: who has which certificate, for how long, and which roots are trusted."""

import asyncio
import contextlib
import json
import ssl
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography import x509

from mesh.cli.consul import show, with_consul
from mesh.identity import store
from mesh.identity.inspection import Inspected, Standing, name, standing
from mesh.local import Stack
from mesh.registry import Instance, Registry, Roots

_PATIENCE_SECONDS = 3
_BAD = {Standing.EXPIRED, Standing.OVERDUE}


@dataclass(frozen=True)
class Place:
    """Where a certificate was found."""

    where: str
    """An instance, as `sales-1 127.0.0.1:7000`, or a folder of the run folder."""
    found: Inspected | None
    """None: there is none."""
    lacks_active_root: bool = False
    """Of a folder: who reads it would refuse those whose certificates are newest."""

    def problem(self, moment: datetime) -> str:
        """What must be done something about; empty if nothing."""
        if self.found is None:
            return ""
        if (how := self.found.standing(moment)) in _BAD:
            return how.value
        if self.found.signer is None:
            return "signed by no root that Consul trusts"
        return "does not trust the active root" if self.lacks_active_root else ""

    def note(self, moment: datetime) -> str:
        """Its problem, or what is worth knowing."""
        if self.found is None:
            return "in clear: it shows no certificate"
        how = self.found.standing(moment)
        return self.problem(moment) or ("" if how is Standing.SOUND else how.value)


def certs(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False
) -> None:
    """Show the certificates that instances show on the wire and those in the run folder, and the roots of the CA.

    Consul renews a certificate after 60 to 90 % of its time, and whoever holds it takes the new one by itself.

    Exit status: 1 one has expired, should have been renewed long ago, or is signed by no root that is trusted.
    """
    run = Stack.load(context.obj).run.path
    trusted, instances = with_consul(context, _known)
    roots = x509.load_pem_x509_certificates(trusted.pem.encode())
    folders = sorted(path.parent for path in run.glob(f"identity/*/current/{store.CERTIFICATE}"))
    places = [*asyncio.run(_shown(instances, folders, roots)), *_kept(run, folders, roots)]
    moment = datetime.now(UTC)
    if as_json:
        typer.echo(json.dumps(_as_json(places, roots, moment), indent=2))
    else:
        _show(places, trusted.trust_domain, roots, moment)
    if any(place.problem(moment) for place in places):
        raise typer.Exit(1)


async def _known(registry: Registry) -> tuple[Roots, list[Instance]]:
    services = await registry.services()
    healthy = await asyncio.gather(*(registry.healthy(service) for service in sorted(services)))
    return await registry.roots(), [instance for instances in healthy for instance in instances]


async def _shown(instances: Iterable[Instance], folders: list[Path], roots: list[x509.Certificate]) -> list[Place]:
    """What each instance shows at a handshake. No call is made."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is looked at, not believed
    context.set_alpn_protocols(["h2"])
    if folders:  # servers ask for one, and log who has none
        context.load_cert_chain(folders[0] / store.CERTIFICATE, folders[0] / store.KEY)
    between = [each for folder in folders for each in _read(folder / store.CERTIFICATE)[1:]]

    async def look(instance: Instance) -> Place:
        where = f"{instance.id} {instance.host}:{instance.port}"
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                _, writer = await asyncio.open_connection(instance.host, instance.port, ssl=context)
        except (OSError, TimeoutError):
            return Place(where, None)
        content = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await writer.wait_closed()
        return Place(where, Inspected.of([x509.load_der_x509_certificate(content), *between], roots))

    return list(await asyncio.gather(*map(look, instances)))


def _kept(run: Path, folders: Iterable[Path], roots: list[x509.Certificate]) -> Iterator[Place]:
    for folder in folders:
        trusted = _read(folder / store.ROOTS)
        found = Inspected.of(_read(folder / store.CERTIFICATE), roots)
        yield Place(str(folder.parent.relative_to(run)), found, lacks_active_root=roots[0] not in trusted)


def _read(path: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(path.read_bytes())


def _show(places: list[Place], trust_domain: str, roots: list[x509.Certificate], moment: datetime) -> None:
    own = f"spiffe://{trust_domain}"
    rows = []
    for place in places:
        found = place.found
        told = (
            (found.spiffe_id.removeprefix(own), *_times(found.issued, found.expires, moment), found.signer or "")
            if found
            else [""] * 5
        )
        rows.append((place.where, *told, place.note(moment)))
    typer.echo(f"trust domain {own}\n")
    show(("WHERE", "SPIFFE ID", "ISSUED", "EXPIRES", "LEFT", "SIGNED BY", ""), rows)
    typer.echo("")
    signed = Counter(place.found.signer for place in places if place.found)
    show(
        ("ROOT", "ISSUED", "EXPIRES", "LEFT", "SIGNS NEW ONES", "HAS SIGNED OF THESE"),
        [
            (
                name(root),
                *_times(root.not_valid_before_utc, root.not_valid_after_utc, moment),
                "" if number else "yes",  # the active one is the first
                str(signed[name(root)]),
            )
            for number, root in enumerate(roots)
        ],
    )


def _times(issued: datetime, expires: datetime, moment: datetime) -> tuple[str, str, str]:
    share = (expires - moment) / (expires - issued)
    return f"{issued:%Y-%m-%d %H:%M}", f"{expires:%Y-%m-%d %H:%M}", f"{_rough(expires - moment)} ({share:.0%})"


def _rough(left: timedelta) -> str:
    seconds = int(left.total_seconds())
    unit, size = next(
        ((unit, size) for unit, size in (("d", 86400), ("h", 3600), ("min", 60)) if abs(seconds) >= 3 * size), ("s", 1)
    )
    return f"{seconds // size} {unit}"


def _as_json(places: list[Place], roots: list[x509.Certificate], moment: datetime) -> dict[str, Any]:
    return {
        "certificates": [
            {"where": place.where, "problem": place.problem(moment) or None, **_certificate(place.found, moment)}
            for place in places
        ],
        "roots": [
            {
                "name": name(root),
                "active": number == 0,
                **_validity(root.not_valid_before_utc, root.not_valid_after_utc, moment),
            }
            for number, root in enumerate(roots)
        ],
    }


def _certificate(found: Inspected | None, moment: datetime) -> dict[str, Any]:
    if found is None:
        return {"spiffe_id": None}
    validity = _validity(found.issued, found.expires, moment)
    return {"spiffe_id": found.spiffe_id, **validity, "signed_by": found.signer}


def _validity(issued: datetime, expires: datetime, moment: datetime) -> dict[str, Any]:
    return {
        "issued": issued.isoformat(),
        "expires": expires.isoformat(),
        "remaining_seconds": int((expires - moment).total_seconds()),
        "standing": standing(issued, expires, moment).name,
    }
