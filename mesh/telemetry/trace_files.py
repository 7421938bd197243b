"""Traces on one machine: a file for each process, in OTLP's JSON lines, so that any collector could read it too.

The format: one ExportTraceServiceRequest a line, ids in hexadecimal
(https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/).
"""

import base64
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from mesh.telemetry.redaction import without_secrets
from mesh.telemetry.traces import FOLDER

FILE_BYTES = 8 * 1024 * 1024
"""When a file is this large it becomes the old one, and the old one before goes: twice this at most for a process."""

_IDS = ("traceId", "spanId", "parentSpanId")


class TraceFile:
    """`FOLDER/INSTANCE.jsonl` of a run folder, for its owner's eyes. Its methods may be called from any thread."""

    def __init__(self, run_dir: Path, instance: str, file_bytes: int = FILE_BYTES) -> None:
        self.path = run_dir / FOLDER / f"{instance}.jsonl"
        self._file_bytes = file_bytes
        self._lock = threading.Lock()

    def write(self, request: ExportTraceServiceRequest) -> None:
        """Adds spans. Raises OSError."""
        line = (without_secrets(json.dumps(_otlp_json(request), separators=(",", ":"))) + "\n").encode()
        with self._lock:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.path.exists() and self.path.stat().st_size + len(line) > self._file_bytes:
                self.path.replace(self.path.with_suffix(".old.jsonl"))
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(handle, line)  # in one piece: a reader at the same time sees whole lines
            finally:
                os.close(handle)


class FileExporter(SpanExporter):
    """Sends spans to a file."""

    def __init__(self, file: TraceFile) -> None:
        self._file = file

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            self._file.write(encode_spans(spans))
        except OSError:  # a full disk costs traces, nothing else
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS


def _otlp_json(request: ExportTraceServiceRequest) -> dict[str, Any]:
    content: dict[str, Any] = json_format.MessageToDict(request, use_integers_for_enums=True)
    for resource in content.get("resourceSpans", ()):
        for scope in resource.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                for holder in (span, *span.get("links", ())):
                    for name in _IDS:
                        if name in holder:
                            holder[name] = base64.b64decode(holder[name]).hex()
    return content
