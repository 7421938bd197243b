"""What a filter can compare: the types of fields, how their values are written and how they are printed again."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum

Value = str | int | Decimal | bool | date | datetime


class Operator(StrEnum):
    EQUAL = "="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="


_EQUALITY = frozenset({Operator.EQUAL, Operator.NOT_EQUAL})
_ALL = frozenset(Operator)


@dataclass(frozen=True)
class FieldType:
    """A kind of field that a filter can name."""

    expected: str
    """What a value must be, as an error says it: "must be ..."."""
    read: Callable[[str], Value]
    """Text to value. Raises ValueError for what is not one."""
    operators: frozenset[Operator] = _ALL


def enumeration(names: Mapping[str, str] | Iterable[str]) -> FieldType:
    """A field that has one of these names, or with a mapping what the name stands for."""
    known = dict(names) if isinstance(names, Mapping) else {name: name for name in names}

    def read(text: str) -> str:
        if text not in known:
            raise ValueError(text)
        return known[text]

    return FieldType(f"one of {', '.join(known)}", read, _EQUALITY)


def printed(value: Value) -> str:
    """The value as a filter has it."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'
        case date():  # and datetime
            return value.isoformat()
        case Decimal():
            return f"{value:f}"
        case _:
            return str(value)


_INTEGER = re.compile(r"-?[0-9]{1,19}")
_DECIMAL = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,9})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# RFC 3339; a time without its offset from UTC would mean another moment to each reader.
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})"
)


def _written_as(pattern: re.Pattern[str], text: str) -> str:
    if pattern.fullmatch(text) is None:
        raise ValueError(text)
    return text


def _integer(text: str) -> int:
    value = int(_written_as(_INTEGER, text))
    if not -(2**63) <= value < 2**63:
        raise ValueError(text)
    return value


def _timestamp(text: str) -> datetime:
    try:
        return datetime.fromisoformat(_written_as(_TIMESTAMP, text)).astimezone(UTC)
    except OverflowError:  # the first and the last day of the calendar, moved to UTC
        raise ValueError(text) from None


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[_written_as(re.compile("true|false"), text)]


TEXT = FieldType("a text", str, _EQUALITY)
ORDERED_TEXT = FieldType("a text", str)
"""Text whose order means something, such as a month written `2011-05`."""
INTEGER = FieldType("a whole number", _integer)
DECIMAL = FieldType(
    "a number with at most 18 digits before and 9 after the point", lambda text: Decimal(_written_as(_DECIMAL, text))
)
BOOLEAN = FieldType("true or false", _boolean, _EQUALITY)
DATE = FieldType("a date such as 2011-05-31", lambda text: date.fromisoformat(_written_as(_DATE, text)))
TIMESTAMP = FieldType("a time such as 2011-05-31T14:00:00Z", _timestamp)
