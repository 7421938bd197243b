"""What a component is: a real program others wrote, which the stack starts or finds at an address."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mesh.local.errors import LocalError
from mesh.local.report import Report
from mesh.local.rundir import RunDir
from mesh.local.supervisor import Program


class NotReadyError(Exception):
    """It doesn't answer (yet); the text says why, without secrets."""


@dataclass(frozen=True)
class Site:
    """Where a stack lives and what its parts share."""

    root: Path
    run: RunDir
    cache: Path
    """User cache of built and downloaded tools."""
    report: Report
    ports: Mapping[str, int]
    """Loopback port of each name that a component asked for in `ports`."""
    controls: tuple[str, ...]
    """Port names of the control planes; empty if none runs."""


class Component(ABC):
    """One component of one stack. `url` is the address: given from outside, or of the program started here."""

    name: ClassVar[str]
    variable: ClassVar[str]
    """The environment variable that tells programs the address, and that replaces the component if set for `up`."""
    replaceable: ClassVar[bool] = True
    ports: ClassVar[Mapping[str, int]] = {}
    """Port names and their preferred numbers."""
    needs: ClassVar[frozenset[str]] = frozenset()
    patience_seconds: ClassVar[float] = 60
    """How long it may take from its start until it answers."""
    wanted: ClassVar[str] = ""
    """The versions that will do, for a person to read."""

    def __init__(self, site: Site, external: str | None = None) -> None:
        self.site = site
        self.external = external is not None
        self.url = self.local_url() if external is None else external

    @abstractmethod
    def local_url(self) -> str:
        """Address of the one started here."""

    @abstractmethod
    def program(self) -> Program | None:
        """What to run; None if it is only a place. Must not change anything."""

    @classmethod  # noqa: B027 - most come with a package
    def provide(cls, cache: Path, report: Report) -> None:
        """Get hold of its tools if they aren't there yet (download, build). May take minutes."""

    @abstractmethod
    def prepare(self) -> None:
        """Write its configuration, initialise its data. Called before each start; keeps what is there."""

    @abstractmethod
    def check(self) -> str:
        """Use it for real and return its version. Raises NotReadyError."""

    def ping(self) -> str:
        """A check cheap enough for every `status`; returns the version, or "" if only `check` can tell."""
        return self.check()

    def suits(self, version: str) -> bool:
        """Whether this version will do."""
        return True

    @property
    def shown(self) -> str:
        """The address without secrets."""
        return self.url

    def require_external(self) -> str:
        """Check the one given from outside. Raises LocalError: which, where, what is wrong, what to do."""
        where = f"{self.name} at {self.shown} (from {self.variable})"
        ways = f"correct {self.variable}, or unset it to have {self.name} started here"
        try:
            version = self.check()
        except NotReadyError as error:
            raise LocalError(f"{where} cannot be used: {error}. To do: start it, {ways}") from error
        if not self.suits(version):
            raise LocalError(f"{where} has version {version}, but {self.wanted} is needed. To do: upgrade it, {ways}")
        return version


def numbers(version: str) -> tuple[int, ...]:
    """(1, 22, 7) for "1.22.7+ent", (18, 6) for "18.6 (Debian)"."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
