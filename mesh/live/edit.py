"""Changes a document of live settings: validated before it is written, and never over somebody else's change."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, TypeAlias

from mesh.live.follow import key
from mesh.live.settings import LiveSettings, LiveSettingsError
from mesh.registry import Registry

Document: TypeAlias = dict[str, Any]


async def edit(registry: Registry, service: str, change: Callable[[Document], None]) -> LiveSettings:
    """Reads the document of `service`, lets `change` work on it, and writes it if it is valid then.

    If somebody else wrote in between, it does so again with what they wrote. Raises LiveSettingsError, RegistryError,
    and what `change` raises; then nothing is written.
    """
    while True:
        before, index = await registry.get_with_index(key(service))
        document = _object(before)
        change(document)
        after = json.dumps(document, indent=2)
        settings = LiveSettings.from_json(after)
        if await registry.put_if(key(service), after, index):
            return settings


def assigned(items: Iterable[str]) -> dict[str, Any]:
    """What `limits.max_concurrent_calls=50 log_level=DEBUG` says: keys with their values.

    A value is JSON; what is not JSON is a text. Raises LiveSettingsError.
    """
    found: dict[str, Any] = {}
    for item in items:
        name, equals, text = item.partition("=")
        if not equals or not all(name.split(".")):
            raise LiveSettingsError([(item, "should be KEY=VALUE, as in limits.max_concurrent_calls=50")])
        if name in found:
            raise LiveSettingsError([(name, "is given twice")])
        found[name] = _value(text)
    return found


def put(document: Document, values: Mapping[str, Any]) -> None:
    """Sets each of the keys, written with dots. Raises LiveSettingsError for one below what is no object."""
    for name, value in values.items():
        *path, last = name.split(".")
        part = document
        for step in path:
            part = part.setdefault(step, {})
            if not isinstance(part, dict):
                raise LiveSettingsError([(name, f"{step} has no keys")])
        part[last] = value


def drop(document: Document, names: Iterable[str]) -> None:
    """Takes the keys out, and what is empty then. Raises LiveSettingsError for one that is not set."""
    for name in names:
        _drop(document, name.split("."), name)


def _drop(part: Any, path: list[str], name: str) -> None:
    if not isinstance(part, dict) or path[0] not in part:
        raise LiveSettingsError([(name, "is not set")])
    if len(path) > 1:
        _drop(part[path[0]], path[1:], name)
    if len(path) == 1 or not part[path[0]]:
        del part[path[0]]


def _object(document: bytes | None) -> Document:
    try:
        value = {} if document is None else json.loads(document)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise LiveSettingsError([("the document", "what stands in KV is not a JSON object; unset --all removes it")])
    return value


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
