"""Which workload may call which method: Consul's intentions, kept as its config entries `service-intentions`.

What no intention allows is refused. https://developer.hashicorp.com/consul/docs/connect/config-entries/service-intentions
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mesh.registry import Registry
from mesh.telemetry import logger

KIND = "service-intentions"
ANY = "*"
_PROTOCOL = {"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "grpc"}}
"""Consul takes intentions to the method only for services whose protocol has methods."""

log = logger(__name__)


@dataclass(frozen=True)
class Rule:
    """What one source may do at one destination; of several that match only the one of highest precedence counts."""

    source: str
    destination: str
    precedence: int
    permissions: tuple["Permission", ...]

    def allows(self, path: str) -> bool:
        """Whether its first permission that speaks of the method allows it."""
        return next((permission.allow for permission in self.permissions if permission.speaks_of(path)), False)


@dataclass(frozen=True)
class Permission:
    allow: bool
    pattern: str
    """A regular expression of whole paths, `/package.Service/Method`."""
    shown: str
    """As people write it: `package.Service/Method`, with `*` at the end for all that begins so."""

    def speaks_of(self, path: str) -> bool:
        try:
            return re.fullmatch(self.pattern, path) is not None
        except re.error:  # Consul checks regular expressions by another grammar (RE2)
            return not self.allow


def rules(entries: Iterable[Mapping[str, Any]]) -> list[Rule]:
    """The rules of Consul's config entries, those of highest precedence first."""
    found = [
        Rule(source["Name"], entry["Name"], int(source.get("Precedence", 0)), _permissions(entry, source))
        for entry in entries
        for source in entry.get("Sources") or ()
        if source.get("Type", "consul") == "consul" and _is_of(source, source["Name"])
    ]
    return sorted(found, key=lambda rule: (-rule.precedence, rule.destination, rule.source))


def _permissions(entry: Mapping[str, Any], source: Mapping[str, Any]) -> tuple[Permission, ...]:
    if entry.get("JWT"):
        return (_refused(entry, source, "JWT"),)
    if source.get("Action"):
        return (Permission(source["Action"] == "allow", ".*", ANY),)
    return tuple(_permission(entry, source, given) for given in source.get("Permissions") or ())


def _permission(entry: Mapping[str, Any], source: Mapping[str, Any], given: Mapping[str, Any]) -> Permission:
    http = given.get("HTTP") or {}
    if unsupported := [part for part in ("Header", "JWT") if http.get(part) or given.get(part)]:
        return _refused(entry, source, unsupported[0])
    allow = given["Action"] == "allow"
    if "POST" not in (http.get("Methods") or ["POST"]):
        return Permission(allow, "(?!)", "nothing: gRPC is always POST")
    for form, (pattern, shown) in _PATHS.items():
        if path := http.get(form):
            return Permission(allow, pattern(path), shown(path))
    return Permission(allow, ".*", ANY)


_PATHS: dict[str, tuple[Callable[[str], str], Callable[[str], str]]] = {
    "PathExact": (re.escape, lambda path: path.removeprefix("/")),
    "PathPrefix": (lambda path: re.escape(path) + ".*", lambda path: path.removeprefix("/") + ANY),
    "PathRegex": (lambda path: path, lambda path: path),
}
"""The forms of a path, each as a regular expression and as it is shown."""


def _refused(entry: Mapping[str, Any], source: Mapping[str, Any], part: str) -> Permission:
    """What can't be understood allows nothing, whatever it meant to say."""
    log.error("intention not understood, it denies", source=source["Name"], destination=entry["Name"], part=part)
    return Permission(False, ".*", f"nothing: {part} is not supported")


def ruling(known: Iterable[Rule], source: str, destination: str) -> Rule | None:
    """The rule that counts for calls of `source` to `destination`; `known` as `rules` orders them."""
    matching = (rule for rule in known if rule.source in {source, ANY} and rule.destination in {destination, ANY})
    return next(matching, None)


def decide(known: Iterable[Rule], source: str, destination: str, path: str) -> bool:
    """Whether `source` may call the method `path` of `destination`; `known` as `rules` orders them."""
    rule = ruling(known, source, destination)
    return rule is not None and rule.allows(path)


class Intentions:
    """The intentions towards one service, as they stand in Consul now."""

    def __init__(self, service: str, known: Iterable[Rule] = ()) -> None:
        self._service = service
        self._rules = list(known)
        self._decided: dict[tuple[str, str], bool] = {}

    def allows(self, source: str, path: str) -> bool:
        """Whether the service `source` may call the method `/package.Service/Method`."""
        allowed = self._decided.get((source, path))
        if allowed is None:
            allowed = self._decided[source, path] = decide(self._rules, source, self._service, path)
        return allowed

    async def load(self, registry: Registry) -> None:
        """Takes what stands in Consul now. Raises RegistryError."""
        self._take(await registry.config(KIND))

    async def follow(self, registry: Registry) -> None:
        """Keeps up with Consul, for ever; while it is away the last ones stay."""
        async for entries in registry.watch_config(KIND):
            self._take(entries)

    def _take(self, entries: Iterable[Mapping[str, Any]]) -> None:
        known = [rule for rule in rules(entries) if rule.destination in {self._service, ANY}]
        if known != self._rules:
            self._rules, self._decided = known, {}
            log.info("intentions taken", sources=sorted({rule.source for rule in known}))


Declared = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Destination -> source -> methods it may call: `package.Service/Method`, `package.Service/*`, or `*` for all."""


def entry(destination: str, sources: Mapping[str, Iterable[str]]) -> dict[str, Any]:
    """The config entry that allows each source its methods. Raises ValueError for what names no method."""
    return {
        "Kind": KIND,
        "Name": destination,
        "Sources": [allowance(source, methods) for source, methods in sorted(sources.items())],
    }


def allowance(source: str, methods: Iterable[str]) -> dict[str, Any]:
    """What a config entry says of a source that may call these methods and no others. Raises ValueError."""
    named = tuple(methods)
    if ANY in named:
        return {"Name": source, "Action": "allow"}
    return {"Name": source, "Permissions": [_allowed(method) for method in named]}


def refusal(source: str) -> dict[str, Any]:
    """What a config entry says of a source that may call nothing."""
    return {"Name": source, "Action": "deny"}


def _allowed(method: str) -> dict[str, Any]:
    match = re.fullmatch(r"/?(?P<service>[A-Za-z][\w.]*)/(?P<method>\*|[A-Za-z]\w*)", method)
    if match is None:
        raise ValueError(f"{method!r} is not package.Service/Method, package.Service/* or *")
    whole = match["method"] == ANY
    path = {"PathPrefix": f"/{match['service']}/"} if whole else {"PathExact": f"/{match['service']}/{match['method']}"}
    return {"Action": "allow", "HTTP": path}


async def declare(registry: Registry, declared: Declared) -> None:
    """Makes these the intentions towards their destinations. Raises RegistryError, or ValueError for a bad method."""
    await registry.put_config_if(_PROTOCOL, 0)  # where there is none
    for destination, sources in declared.items():
        await registry.put_config(entry(destination, sources))


async def amend(registry: Registry, destination: str, saying: Mapping[str, Any]) -> None:
    """Replaces what stands of one source in the entry of `destination`, and nothing else, whoever else writes there.

    `saying` is an `allowance` or a `refusal`. Raises RegistryError.
    """
    await registry.put_config_if(_PROTOCOL, 0)
    while True:
        found, index = await registry.config_entry(KIND, destination)
        before = found or {"Kind": KIND, "Name": destination}
        others = [each for each in before.get("Sources") or () if not _is_of(each, saying["Name"])]
        if await registry.put_config_if({**before, "Sources": [*others, saying]}, index):
            return


def _is_of(saying: Mapping[str, Any], source: str) -> bool:
    """Whether it speaks of this service of our own, not of one of the same name elsewhere."""
    return saying["Name"] == source and not saying.get("Peer") and not saying.get("SamenessGroup")
