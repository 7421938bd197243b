"""What a process tells of itself.

logs         structured, each line with the call that it is of, without secrets (redaction)
tracing      spans of the calls that are sampled: to an OTLP endpoint, or to a file of this machine (trace_files)
traces       reading those files
metrics      the port for Prometheus
calls        the call being served, as logs and traces name it
"""

from mesh.telemetry.logs import apply_log_level, configure_logging, logger

__all__ = ["apply_log_level", "configure_logging", "logger"]
