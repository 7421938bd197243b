"""`filter` fields (AIP-160): https://google.aip.dev/160.

The part of it that selects rows: comparisons of a field with a value, joined by AND, OR, NOT or `-`, parentheses, and
two terms side by side, which mean AND. As AIP-160 has it, OR binds more tightly than AND. There are no wildcards, no
functions, no bare words and no `:`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from mesh.aip.fields import FieldType, Operator, Value, printed
from mesh.error import errors
from mesh.v1 import error_reason_pb2

# Whoever walks a filter may do so by recursion.
_MAX_DEPTH = 32

_GRAMMAR = r"""
?expression: sequence
           | sequence (_AND sequence)+  -> all_of
?sequence: factor
         | factor factor+               -> all_of
?factor: term
       | term (_OR term)+               -> any_of
?term: simple
     | (_NOT | _MINUS) simple           -> negation
?simple: comparison
       | _OPEN expression _CLOSE
comparison: FIELD OPERATOR (TEXT | QUOTED)

_AND: /AND\b/
_OR: /OR\b/
_NOT: /NOT\b/
_MINUS: "-"
_OPEN: "("
_CLOSE: ")"
FIELD: /(?!(AND|OR|NOT)\b)[A-Za-z_][A-Za-z0-9_.]*/
OPERATOR: /<=|>=|!=|<|>|=/
TEXT: /(?!(AND|OR|NOT)\b)[^\s()<>=!,"']+/
QUOTED: /"(\\.|[^"\\])*"|'(\\.|[^'\\])*'/s
%ignore /[ \t\r\n]+/
"""
_TOKEN_NAMES = {
    "_AND": "AND",
    "_OR": "OR",
    "_CLOSE": "')'",
    "FIELD": "a field",
    "OPERATOR": "an operator (=, !=, <, <=, >, >=)",
    "TEXT": "a value",
    "$END": "the end",
}
# NUL is no text to PostgreSQL, a lone surrogate none to UTF-8, and the others none to a reader.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")

error = errors(error_reason_pb2.ErrorReason)


@dataclass(frozen=True)
class Comparison:
    """`field operator value`; the value is of the field's type."""

    field: str
    operator: Operator
    value: Value

    def __str__(self) -> str:
        return f"{self.field} {self.operator} {printed(self.value)}"


@dataclass(frozen=True)
class And:
    """All of two parts or more."""

    parts: tuple["Filter", ...]

    def __str__(self) -> str:
        return " AND ".join(_operand(part, And) for part in self.parts)


@dataclass(frozen=True)
class Or:
    """Any of two parts or more."""

    parts: tuple["Filter", ...]

    def __str__(self) -> str:
        return " OR ".join(_operand(part, And, Or) for part in self.parts)


@dataclass(frozen=True)
class Not:
    part: "Filter"

    def __str__(self) -> str:
        return f"NOT {_operand(self.part, And, Or, Not)}"


Filter = Comparison | And | Or | Not
"""What a filter says. `str` writes it as `parse_filter` reads it."""


class _Problem(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, position: int, text: str) -> None:
        super().__init__(text)
        self.position = position


def parse_filter(text: str, fields: Mapping[str, FieldType]) -> Filter | None:
    """Reads a `filter` over these fields; None for one that is empty or blank.

    Raises FILTER_INVALID with the column, counted from 1 over the whole text, and the problem.
    """
    try:
        if control := _CONTROL.search(text):
            raise _Problem(control.start(), "a control character")
        if not text.strip(" \t\r\n"):
            return None
        return _read(_parse(text), fields, _MAX_DEPTH)
    except _Problem as problem:
        raise error(
            error_reason_pb2.ERROR_REASON_FILTER_INVALID,
            column=problem.position + 1,
            problem=problem,
            fields={"filter": str(problem)},
        ) from None


def _operand(part: Filter, *looser: type) -> str:
    return f"({part})" if isinstance(part, looser) else str(part)


@cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, start="expression", parser="lalr")


def _parse(text: str) -> Tree[Token]:
    try:
        return _parser().parse(text)
    except UnexpectedInput as unexpected:
        raise _syntax_problem(text, unexpected) from None


def _syntax_problem(text: str, unexpected: UnexpectedInput) -> _Problem:
    accepted: Iterable[str] = ()
    position = unexpected.pos_in_stream
    if isinstance(unexpected, UnexpectedToken):
        accepted = unexpected.accepts or unexpected.expected
        position = len(text) if unexpected.token.type == "$END" else unexpected.token.start_pos
    elif isinstance(unexpected, UnexpectedCharacters):
        accepted = unexpected.allowed or ()
    if position is None or position >= len(text):
        return _Problem(len(text), f"it ends where {_expectation(accepted)} is expected")
    if text[position] in "\"'" and "TEXT" in accepted:
        return _Problem(position, "a quoted text that is not closed")
    if text[position] == ")":
        return _Problem(position, "a ')' that is not expected here")
    if text[position] == ":":
        return _Problem(position, "the operator ':' is not supported")
    before = text[:position].split()
    if before and before[-1] in ("and", "or", "not"):
        return _Problem(position - 1, f"write {before[-1].upper()} in capital letters")
    return _Problem(position, f"expected {_expectation(accepted)}")


def _expectation(accepted: Iterable[str]) -> str:
    names = [name for terminal, name in _TOKEN_NAMES.items() if terminal in set(accepted)]
    return " or ".join(names) or 'a comparison such as country = "France"'


def _read(tree: Tree[Token], fields: Mapping[str, FieldType], depth: int) -> Filter:
    if tree.data == "comparison":
        return _comparison(*(child for child in tree.children if isinstance(child, Token)), fields=fields)
    parts = [child for child in tree.children if isinstance(child, Tree)]
    if depth == 0:
        start = next(token.start_pos for token in tree.scan_values(lambda _: True))
        raise _Problem(start or 0, f"nested more than {_MAX_DEPTH} levels deep")
    read = tuple(_read(part, fields, depth - 1) for part in parts)
    match tree.data:
        case "all_of":
            return And(read)
        case "any_of":
            return Or(read)
        case _:
            return Not(read[0])


def _comparison(field: Token, operator: Token, literal: Token, *, fields: Mapping[str, FieldType]) -> Comparison:
    kind = fields.get(field)
    if kind is None:
        raise _Problem(field.start_pos or 0, unknown_field(field, fields))
    chosen = Operator(operator)
    if chosen not in kind.operators:
        usable = ", ".join(sorted(kind.operators))
        raise _Problem(operator.start_pos or 0, f"{field} can only be compared by {usable}")
    text = re.sub(r"\\(.)", r"\1", literal[1:-1], flags=re.DOTALL) if literal.type == "QUOTED" else str(literal)
    try:
        return Comparison(str(field), chosen, kind.read(text))
    except ValueError:
        raise _Problem(literal.start_pos or 0, f"{field} must be {kind.expected}") from None


def unknown_field(name: str, known: Iterable[str]) -> str:
    """Says that there is no such field, and which was probably meant or which there are."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.75)
    return f"unknown field '{name:.64}'; " + (f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}")
