"""What Consul knows at one moment."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from mesh.identity.spiffe import SpiffeId
from mesh.registry import Instance
from mesh.token_keys import Published


@dataclass(frozen=True)
class Trust:
    """What the SPIFFE IDs of all services begin with."""

    trust_domain: str
    datacenter: str

    def spiffe_id(self, service: str) -> str:
        return str(SpiffeId(self.trust_domain, self.datacenter, service))


@dataclass(frozen=True)
class Share:
    """A part of a service's calls."""

    subset: str
    """Empty: all instances of the service."""
    weight: int
    """Hundredths of a per cent."""


@dataclass(frozen=True)
class Snapshot:
    services: dict[str, tuple[Instance, ...]] = field(default_factory=dict)
    """The healthy instances of every service that is or was registered."""
    token_keys: Published | None = None
    trust: Trust | None = None
    """None: nobody has an identity, and all speak in clear; for tests."""
    subsets: dict[str, dict[str, str]] = field(default_factory=dict)
    """For each service the version of which each of its subsets is."""
    splits: dict[str, tuple[Share, ...]] = field(default_factory=dict)
    """How the calls of a service are divided; a service that is missing is not divided."""

    @cached_property
    def version(self) -> str:
        """A hash of the content: control planes that agree have the same."""
        return hashlib.sha256(self.json.encode()).hexdigest()[:16]

    @cached_property
    def json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Snapshot":
        """Raises ValueError, KeyError or TypeError for what is not `json` of one."""
        content: dict[str, Any] = json.loads(text)
        return cls(
            services={name: tuple(map(_instance, found)) for name, found in content["services"].items()},
            token_keys=Published(**content["token_keys"]) if content["token_keys"] else None,
            trust=Trust(**content["trust"]) if content["trust"] else None,
            subsets=content["subsets"],
            splits={name: tuple(Share(**share) for share in split) for name, split in content["splits"].items()},
        )


def _instance(content: dict[str, Any]) -> Instance:
    return Instance(**content | {"meta": tuple(map(tuple, content["meta"]))})
