"""Reading the traces of one machine; standard library only, as meshctl has to start fast."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = "traces"
"""Of a run folder."""

_ERROR = 2
_KINDS = ("", "internal", "server", "client", "producer", "consumer")


@dataclass(frozen=True)
class Span:
    """One piece of work of one process."""

    trace_id: str
    span_id: str
    parent_id: str
    """Empty where the trace begins."""
    name: str
    kind: str
    service: str
    instance: str
    start: int
    """Nanoseconds since 1970."""
    end: int
    failed: bool
    attributes: Mapping[str, Any]

    @property
    def milliseconds(self) -> float:
        return (self.end - self.start) / 1e6


@dataclass(frozen=True)
class Node:
    """A span with what it caused, in the order in which it began."""

    span: Span
    children: "list[Node]" = field(default_factory=list)


@dataclass(frozen=True)
class Trace:
    """All that is known of one trace."""

    trace_id: str
    spans: tuple[Span, ...]

    @property
    def roots(self) -> list[Node]:
        """The trees: one, unless the span of a caller is missing (yet)."""
        nodes = {span.span_id: Node(span) for span in sorted(self.spans, key=lambda span: span.start)}
        roots: list[Node] = []
        for node in nodes.values():
            parent = nodes.get(node.span.parent_id)
            (roots if parent is None else parent.children).append(node)
        return roots

    @property
    def start(self) -> int:
        return min(span.start for span in self.spans)

    @property
    def milliseconds(self) -> float:
        return (max(span.end for span in self.spans) - self.start) / 1e6

    @property
    def failed(self) -> bool:
        return any(span.failed for span in self.spans)


def read(run_dir: Path) -> list[Trace]:
    """The traces in the files of a run folder, the latest first."""
    by_trace: dict[str, dict[str, Span]] = {}
    for path in sorted((run_dir / FOLDER).glob("*.jsonl")):
        for span in _spans(path):
            by_trace.setdefault(span.trace_id, {})[span.span_id] = span
    traces = [Trace(trace_id, tuple(spans.values())) for trace_id, spans in by_trace.items()]
    return sorted(traces, key=lambda trace: trace.start, reverse=True)


def _spans(path: Path) -> Iterator[Span]:
    try:
        with path.open(errors="replace") as file:
            for line in file:
                try:
                    content = json.loads(line)
                except ValueError:
                    continue  # of a process that was killed, or ran out of disk, as it wrote
                yield from _of_request(content)
    except FileNotFoundError:
        return  # replaced meanwhile


def _of_request(content: Mapping[str, Any]) -> Iterator[Span]:
    for group in content.get("resourceSpans", ()):
        resource = _attributes(group.get("resource", {}).get("attributes", ()))
        for scope in group.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                yield Span(
                    trace_id=span["traceId"],
                    span_id=span["spanId"],
                    parent_id=span.get("parentSpanId", ""),
                    name=span.get("name", ""),
                    kind=_KINDS[span.get("kind", 0)],
                    service=str(resource.get("service.name", "")),
                    instance=str(resource.get("service.instance.id", "")),
                    start=int(span["startTimeUnixNano"]),
                    end=int(span["endTimeUnixNano"]),
                    failed=span.get("status", {}).get("code") == _ERROR,
                    attributes=_attributes(span.get("attributes", ())),
                )


def _attributes(pairs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Of OTLP's typed values the value; 64 bit integers are texts in JSON."""
    found = {}
    for pair in pairs:
        [(kind, value)] = pair.get("value", {}).items() or [("stringValue", "")]
        found[pair["key"]] = int(value) if kind == "intValue" else value
    return found
