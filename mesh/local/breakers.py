"""Whom an instance does not call at the moment, as it tells at its metrics port."""

import re

from mesh.local.scrape import metrics

_ANSWER_SECONDS = 1.0
_NOT_CLOSED = re.compile(r'^mesh_breaker_state\{destination="(?P<destination>[^"]+)"\} (?P<state>[12])', re.MULTILINE)
_TOLD = {"1": "trying {} again", "2": "not calling {}: its breaker is open"}


def told(host: str, metrics_port: str) -> str:
    """Its breakers that are not closed, for a person; empty if all are, or if it does not tell."""
    text = metrics(host, metrics_port, _ANSWER_SECONDS) if metrics_port.isdecimal() else None
    found = _NOT_CLOSED.finditer(text or "")
    return ", ".join(_TOLD[match["state"]].format(match["destination"]) for match in found)
