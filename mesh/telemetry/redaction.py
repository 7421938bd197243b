"""Keeps secrets out of log lines: by the name of what holds one, and by the look of it wherever it stands."""

import re
from collections.abc import Mapping
from typing import Any

REDACTED = "[redacted]"

_SECRET_NAMES = re.compile(
    r"(pass(word|wd|phrase)|secret|token|authorization|credential|(api|private)_?key|cookie)s?(?!_?(file|path|type|id|key))",
    re.IGNORECASE,
)
_SECRET_TEXTS = re.compile(
    # A JWT, a cut one too: its header is JSON, and `{"` is eyJ in base64. Each word is looked at once, however long.
    r"(?<![\w-])(?=[\w-]*?eyJ)[\w-]++\.[\w-]*\.?[\w-]*"
    r"|(?i:\bbearer\s+)[\w~+/.=-]+|\bBasic\s+[\w+/=-]{8,}"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"  # user:password@ of a URL
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)"
)

_STRUCTLOGS_OWN = frozenset({"_record", "_from_structlog"})
"""Beside the line, not in it."""


def redact(_: object, __: str, line: dict[str, Any]) -> dict[str, Any]:
    """A structlog processor: the same line without secrets."""
    for name, value in line.items():
        if name not in _STRUCTLOGS_OWN:
            line[name] = _clean(name, value)
    return line


def without_secrets(text: str) -> str:
    """The text with what looks like a token, a password in a URL or a private key replaced."""
    return _SECRET_TEXTS.sub(REDACTED, text)


def _clean(name: object, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(name, str) and _SECRET_NAMES.search(name):
        return REDACTED
    if isinstance(value, Mapping):
        return {key: _clean(key, item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", item) for item in value]
    return without_secrets(value if isinstance(value, str) else repr(value))  # as the renderer would show it
