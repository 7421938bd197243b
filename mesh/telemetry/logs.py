"""Structured logs: one JSON object a line on standard output, for programs and people with `jq` alike."""

import logging
import os
import sys
from typing import Any

import structlog

# For our own lines and for those of libraries. A trace shows no local variables: they hold secrets.
_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]
structlog.configure(
    processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
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
                structlog.processors.EventRenamer("message"),
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=os.environ.get("MESH_LOG_LEVEL", "INFO").upper(), force=True)
    structlog.contextvars.bind_contextvars(service=service, instance=instance)


def logger(name: str) -> Any:
    """A logger for the module `name`: `log.info("what happened", key=value)`."""
    return structlog.stdlib.get_logger(name)
