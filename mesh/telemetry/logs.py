"""Structured logs: one JSON object a line on standard output, for programs and people with `jq` alike."""

import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any, Protocol

import structlog

from mesh.telemetry import calls
from mesh.telemetry.redaction import redact


def _of_call(_: object, __: str, line: dict[str, Any]) -> dict[str, Any]:
    """Names the call that a line is of. It is done here, so that a call without a line does not pay for it."""
    if (call := calls.current.get()) is not None:
        line.setdefault("method", call.method)
        line.setdefault("trace_id", call.trace_id)
        line.setdefault("request_id", calls.request_id())
    return line


def _when_and_what_first(_: object, __: str, line: MutableMapping[str, Any]) -> dict[str, Any]:
    """What a person looks for stands where a line begins."""
    return {"timestamp": line.pop("timestamp"), "level": line.pop("level"), "message": line.pop("event"), **line}


# For our own lines and for those of libraries. A trace shows no local variables: they hold secrets.
_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    _of_call,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    redact,
]
structlog.configure(
    processors=[structlog.stdlib.filter_by_level, *_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    wrapper_class=structlog.stdlib.BoundLogger,
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)


def configure_logging(service: str, instance: str) -> None:
    """Sends this process's logs, those of its libraries included, to standard output.

    The level comes from MESH_LOG_LEVEL (default INFO).
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _when_and_what_first,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=_own_level(), force=True)
    structlog.contextvars.bind_contextvars(service=service, instance=instance)


class _Settings(Protocol):
    @property
    def log_level(self) -> str | None: ...


def apply_log_level(settings: _Settings) -> None:
    """Puts the level of the live settings in force; without one, what the environment says."""
    logging.getLogger().setLevel(settings.log_level or _own_level())


def _own_level() -> str:
    return os.environ.get("MESH_LOG_LEVEL", "INFO").upper()


def logger(name: str) -> Any:
    """A logger for the module `name`: `log.info("what happened", key=value)`."""
    return structlog.stdlib.get_logger(name)
