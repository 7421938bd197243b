"""Every key of the live settings, read from their model."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from mesh.live.settings import Fault, LiveSettings


@dataclass(frozen=True)
class Key:
    name: str
    default: str
    """As JSON."""
    allowed: str
    meaning: str


def keys() -> Iterator[Key]:
    """All there are, those of a fault under `faults.NAME`."""
    yield from _keys(LiveSettings, "")
    yield from _keys(Fault, "faults.NAME.")


def flat(part: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any, bool]]:
    """Each key with its value and whether the document sets it; without the faults."""
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, BaseModel):
            yield from flat(value, f"{prefix}{name}.")
        elif name != "faults":
            yield prefix + name, value, name in part.model_fields_set


def markdown() -> str:
    """A table of all keys."""
    rows = [f"| `{key.name}` | `{key.default}` | {key.allowed} | {key.meaning} |" for key in keys()]
    return "\n".join(["| key | default | allowed | meaning |", "|---|---|---|---|", *rows])


def _keys(model: type[BaseModel], prefix: str) -> Iterator[Key]:
    schema = model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        if isinstance(field.default, BaseModel):
            yield from _keys(type(field.default), f"{prefix}{name}.")
        elif name != "faults":
            meaning = " ".join((field.description or "").split())
            default = field.get_default()
            shown = "null" if default is None else str(list(default)) if isinstance(default, tuple) else str(default)
            yield Key(prefix + name, shown, _allowed(schema[name]), meaning)


def _allowed(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return ", ".join(_allowed(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(schema["enum"])
    match schema["type"]:
        case "integer":
            return f"whole number from {schema['minimum']:,} to {schema['maximum']:,}"
        case "number":
            least = f"from {schema['minimum']:g}" if "minimum" in schema else f"above {schema['exclusiveMinimum']:g}"
            return f"number {least} to {schema['maximum']:g}"
    return {"array": "list of texts", "object": "object of texts"}.get(schema["type"], str(schema["type"]))


if __name__ == "__main__":
    print(markdown())
