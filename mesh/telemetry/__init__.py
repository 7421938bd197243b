"""What a process tells of itself. Structured logs now; traces and metrics have their place here."""

from mesh.telemetry.logs import configure_logging, logger

__all__ = ["configure_logging", "logger"]
