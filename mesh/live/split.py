"""How the calls of a service are divided between its versions: Consul's config entries that say so.

A subset of a `service-resolver` stands for each version, a `service-splitter` weighs them. Consul takes a splitter
only for a service whose protocol has requests. What control planes make of them is theirs.
"""

import re
from collections.abc import Mapping
from typing import Any

from mesh.registry import Registry

SPLITTER, RESOLVER = "service-splitter", "service-resolver"
_WITH_REQUESTS = {"http", "http2", "grpc"}
_VERSION = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,59}"
FILTER = re.compile(r'Service\.Meta\.version == "(?P<version>[^"\\]+)"')
"""What a subset that is one version selects its instances by; control planes understand no other."""
_OURS = "v-"


class SplitError(ValueError):
    """Versions or weights that make no split."""


def checked(weights: Mapping[str, float]) -> Mapping[str, float]:
    """The same weights, in per cent by version. Raises SplitError."""
    for version, weight in weights.items():
        if not re.fullmatch(_VERSION, version):
            raise SplitError(f"{version!r} is no version: letters, digits, dots and dashes")
        if not 0 <= weight <= 100 or round(weight, 2) != weight:
            raise SplitError(f"{weight:g} is no weight: a percentage with at most two decimals")
    if round(sum(weights.values()), 2) != 100:
        raise SplitError(f"the weights add up to {sum(weights.values()):g}, not to 100")
    if len({subset(version) for version in weights}) < len(weights):
        raise SplitError("Consul cannot tell these versions apart: they differ in punctuation or case alone")
    return weights


def subset(version: str) -> str:
    """The name of its subset. Consul allows lower-case letters, digits and dashes: `1.2.0` is `v-1-2-0`."""
    return _OURS + re.sub("[^a-z0-9]+", "-", version.lower()).strip("-")


async def read(registry: Registry, service: str) -> dict[str, float]:
    """The weights in per cent by version; empty where calls are not divided. Raises RegistryError."""
    splitter = await _entry(registry, SPLITTER, service)
    subsets = (await _entry(registry, RESOLVER, service)).get("Subsets") or {}
    return {
        _version(subsets, share.get("ServiceSubset", "")): float(share.get("Weight", 0))
        for share in splitter.get("Splits") or ()
    }


async def write(registry: Registry, service: str, weights: Mapping[str, float]) -> None:
    """Divides the calls from now on. Raises SplitError or RegistryError."""
    checked(weights)
    await _give_requests(registry, service)
    resolver = await _entry(registry, RESOLVER, service)
    subsets = {subset(version): {"Filter": f'Service.Meta.version == "{version}"'} for version in weights}
    # The subsets of the split so far stay: it needs them until the new one is there.
    await registry.put_config(resolver | {"Subsets": (resolver.get("Subsets") or {}) | subsets})
    splits = [{"Weight": weight, "ServiceSubset": subset(version)} for version, weight in weights.items()]
    await registry.put_config({"Kind": SPLITTER, "Name": service, "Splits": splits})


async def clear(registry: Registry, service: str) -> None:
    """Divides the calls no more, and takes back the subsets that `write` has made. Raises RegistryError."""
    await registry.delete_config(SPLITTER, service)
    resolver = await _entry(registry, RESOLVER, service)
    theirs = {name: content for name, content in (resolver.get("Subsets") or {}).items() if not name.startswith(_OURS)}
    if theirs or resolver.keys() - {"Kind", "Name", "Subsets"}:
        await registry.put_config(resolver | {"Subsets": theirs})
    else:
        await registry.delete_config(RESOLVER, service)


def _version(subsets: Mapping[str, Mapping[str, Any]], name: str) -> str:
    found = FILTER.fullmatch(subsets.get(name, {}).get("Filter", ""))
    return found[1] if found else f"subset {name or '(all)'}"


async def _entry(registry: Registry, kind: str, name: str) -> dict[str, Any]:
    """As it stands, or empty but for its name."""
    entries = await registry.config(kind)
    return next((entry for entry in entries if entry["Name"] == name), {"Kind": kind, "Name": name})


async def _give_requests(registry: Registry, service: str) -> None:
    own = await _entry(registry, "service-defaults", service)
    everywhere = (await _entry(registry, "proxy-defaults", "global")).get("Config") or {}
    if (own.get("Protocol") or everywhere.get("protocol")) not in _WITH_REQUESTS:
        await registry.put_config(own | {"Protocol": "grpc"})
