"""How operators divide calls between versions: Consul's config entries `service-resolver` and `service-splitter`.

Of what those can say a small part is understood, and the rest is refused rather than passed over: subsets that are one
version each, and weights of subsets of the same service.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from mesh.control.snapshot import Share
from mesh.live.split import FILTER
from mesh.telemetry import logger

_NEUTRAL = {"Kind", "Name", "Meta", "Namespace", "Partition"}

log = logger(__name__)


class Splits:
    """What is in force: for each service the last entries that were understood."""

    def __init__(self) -> None:
        self.subsets: dict[str, dict[str, str]] = {}
        """For each service the version of which each of its subsets is."""
        self.shares: dict[str, tuple[Share, ...]] = {}

    def take(self, resolvers: Iterable[Mapping[str, Any]], splitters: Iterable[Mapping[str, Any]]) -> None:
        """Puts entries in force. One that cannot be understood is logged, and what was in force of it stays."""
        subsets = {entry["Name"]: self._understood(subsets_of, entry, self.subsets) for entry in resolvers}
        self.subsets = {name: found for name, found in subsets.items() if found}
        known = self.subsets

        def shares(entry: Mapping[str, Any]) -> tuple[Share, ...]:
            return shares_of(entry, known.get(entry["Name"], {}))

        found = {entry["Name"]: self._understood(shares, entry, self.shares) for entry in splitters}
        self.shares = {name: split for name, split in found.items() if split}

    @staticmethod
    def _understood(read: Any, entry: Mapping[str, Any], before: Mapping[str, Any]) -> Any:
        try:
            return read(entry)
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            log.error(
                "config entry refused, the old one stays",
                kind=entry["Kind"],
                of=entry["Name"],
                problem=f"{problem}" if isinstance(problem, ValueError) else repr(problem),
            )
            return before.get(entry["Name"])


def subsets_of(resolver: Mapping[str, Any]) -> dict[str, str]:
    """The version of each subset. Raises ValueError for what is not understood."""
    _nothing_but(resolver, "Subsets")
    found = {}
    for name, subset in (resolver.get("Subsets") or {}).items():
        _nothing_but(subset, "Filter", "OnlyPassing")
        match = FILTER.fullmatch(subset["Filter"].strip())
        if match is None:
            raise ValueError(f'the filter of {name} is not Service.Meta.version == "VERSION": {subset["Filter"]}')
        found[name] = match["version"]
    return found


def shares_of(splitter: Mapping[str, Any], subsets: Mapping[str, str]) -> tuple[Share, ...]:
    """Raises ValueError for what is not understood, and for a subset that is none of `subsets`."""
    _nothing_but(splitter, "Splits")
    shares = []
    for split in splitter["Splits"]:
        _nothing_but(split, "Weight", "Service", "ServiceSubset")
        if split.get("Service") not in {None, "", splitter["Name"]}:
            raise ValueError(f"a share goes to another service: {split['Service']}")
        subset = split.get("ServiceSubset") or ""
        if subset and subset not in subsets:
            raise ValueError(f"{subset} is no subset of the service")
        shares.append(Share(subset, round(float(split.get("Weight", 0)) * 100)))
    if any(share.weight < 0 for share in shares) or sum(share.weight for share in shares) != 100_00:
        raise ValueError("the weights are not parts of 100")
    return tuple(shares)


def _nothing_but(entry: Mapping[str, Any], *understood: str) -> None:
    understood_keys = _NEUTRAL.union(understood)
    rest = sorted(key for key, value in entry.items() if value and value != "0s" and key not in understood_keys)
    if rest:
        raise ValueError(f"not understood: {', '.join(rest)}")
