"""The certificate of this process, kept fresh for as long as it is held."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from prometheus_client import Gauge

from mesh.background import background
from mesh.identity import store
from mesh.identity.spiffe import SpiffeId
from mesh.registry import Leaf, Registry, Roots
from mesh.settings import MeshSettings
from mesh.shared import Shared
from mesh.telemetry import logger

_EXPIRY = Gauge("mesh_certificate_expiry_timestamp_seconds", "When the certificate ends", ["service"])
_ISSUED = Gauge("mesh_certificate_issued_timestamp_seconds", "When the certificate began", ["service"])

_STORE_AGAIN_SECONDS = 5.0

log = logger(__name__)


@dataclass(frozen=True)
class Certificate:
    """A leaf, and the roots to check others by."""

    leaf: Leaf
    roots: Roots

    @property
    def spiffe_id(self) -> SpiffeId:
        return SpiffeId.parse(self.leaf.spiffe_id)

    def validity(self) -> tuple[datetime, datetime]:
        """From when till when."""
        parsed = x509.load_pem_x509_certificate(self.leaf.chain_pem.encode())
        return parsed.not_valid_before_utc, parsed.not_valid_after_utc


class Identity:
    """Who a process is. `certificate` is replaced as a whole, in the files too."""

    def __init__(self, directory: Path, certificate: Certificate) -> None:
        self.directory = directory
        """Holds `current/cert.pem`, `current/key.pem` and `current/roots.pem`."""
        self.spiffe_id = certificate.spiffe_id
        self.trust_domains: set[str] = set()
        """All that this process has belonged to: a CA that is made anew has another, while connections stay."""
        self._take(certificate)

    def _take(self, certificate: Certificate) -> None:
        """Raises OSError if it cannot be stored; this process shows it all the same."""
        self.certificate = certificate
        self.trust_domains.add(certificate.roots.trust_domain)
        issued, expires = certificate.validity()
        _ISSUED.labels(self.spiffe_id.service).set(issued.timestamp())
        _EXPIRY.labels(self.spiffe_id.service).set(expires.timestamp())
        store.write(self.directory, certificate.leaf, certificate.roots)
        log.info("certificate taken", spiffe_id=str(certificate.spiffe_id), expires=expires.isoformat())

    async def _renew(self, **parts: Any) -> None:
        while True:
            try:
                return self._take(replace(self.certificate, **parts))
            except OSError as problem:  # a full disk, in all likelihood; it has hours to be emptied
                log.error("certificate not stored", directory=str(self.directory), problem=str(problem))
            await asyncio.sleep(_STORE_AGAIN_SECONDS)

    async def follow_leaf(self, registry: Registry) -> None:
        """For ever."""
        async for leaf in registry.watch_leaf(self.spiffe_id.service):
            if leaf != self.certificate.leaf:
                await self._renew(leaf=leaf)

    async def follow_roots(self, registry: Registry) -> None:
        """For ever."""
        async for roots in registry.watch_roots():
            if roots != self.certificate.roots:
                await self._renew(roots=roots)


def held(service: str) -> contextlib.AbstractAsyncContextManager[Identity]:
    """The identity of `service`, the same for all its users in this process, renewed until the last one leaves.

    Raises RegistryError if Consul cannot be reached at the start; later it may be away.
    """
    return _identities.used(service)


@contextlib.asynccontextmanager
async def _followed(service: str) -> AsyncIterator[Identity]:
    run = MeshSettings.from_environment().run_dir
    parent = run / "identity" if run else Path(_folder_of_this_process().name)
    async with Registry.from_environment() as registry, kept(registry, service, parent / service) as identity:
        yield identity


@contextlib.asynccontextmanager
async def kept(registry: Registry, service: str, directory: Path) -> AsyncIterator[Identity]:
    """The identity of `service` in `directory`, renewed until the block ends. Raises RegistryError at the start."""
    identity = Identity(directory, Certificate(await registry.leaf(service), await registry.roots()))
    async with (
        background(identity.follow_leaf(registry), f"leaf-{service}"),
        background(identity.follow_roots(registry), f"roots-{service}"),
    ):
        yield identity


@cache
def _folder_of_this_process() -> "tempfile.TemporaryDirectory[str]":
    """Removed at its end, not sooner: gRPC reads the files' names once and the files for ever."""
    return tempfile.TemporaryDirectory(prefix="mesh-identity-")


_identities = Shared(_followed)
