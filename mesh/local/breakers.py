"""Whom an instance does not call at the moment, as it tells at its metrics port."""

import http.client
import re
import urllib.request

_ANSWER_SECONDS = 1.0
_NOT_CLOSED = re.compile(r'^mesh_breaker_state\{destination="(?P<destination>[^"]+)"\} (?P<state>[12])', re.MULTILINE)
_TOLD = {"1": "trying {} again", "2": "not calling {}: its breaker is open"}


def told(host: str, metrics_port: str) -> str:
    """Its breakers that are not closed, for a person; empty if all are, or if it does not tell."""
    if not metrics_port.isdecimal():
        return ""
    try:
        with urllib.request.urlopen(f"http://{host}:{metrics_port}/metrics", timeout=_ANSWER_SECONDS) as answer:
            text = answer.read().decode()
    except (OSError, ValueError, http.client.HTTPException):  # the port may be another's by now
        return ""
    found = _NOT_CLOSED.finditer(text)
    return ", ".join(_TOLD[match["state"]].format(match["destination"]) for match in found)
