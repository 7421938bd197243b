"""What `meshctl top` makes of two looks, and where `meshctl traces` says that a trace failed."""

import pytest

from mesh.cli.top import By, _figures, _Look
from mesh.cli.traces import _failed_at, _named
from mesh.local import LocalError
from mesh.registry import Instance
from mesh.telemetry.traces import Span, Trace


def look(moment: float, calls: float) -> _Look:
    found: _Look = {}
    for name, service, version in (("a-1", "a", "1"), ("a-2", "a", "2"), ("b-1", "b", "1")):
        server = frozenset({"service": f"x.{service.upper()}", "method": "Do", "code": "OK"}.items())
        client = frozenset({"destination": "a", "method": "Do", "code": "OK"}.items())
        scrape = {
            ("mesh_server_calls_total", server): calls,
            ("mesh_breaker_state", frozenset({("destination", "a")})): 0.0,
        }
        if service == "b":
            scrape["mesh_client_calls_total", client] = 2 * calls
        else:
            del scrape["mesh_breaker_state", frozenset({("destination", "a")})]
        found[name] = Instance(service, name, "127.0.0.1", 1, (("version", version),)), moment, scrape
    return found


@pytest.mark.parametrize(
    ("by", "lines"),
    [
        (By.SERVICE, [("a", 20.0)]),
        (By.VERSION, [("a 1", 10.0), ("a 2", 10.0)]),
        (By.INSTANCE, [("a-1", 10.0), ("a-2", 10.0)]),
    ],
)
def test_a_service_is_shown_by_what_is_asked_and_with_its_callers(by: By, lines: list[tuple[str, float]]) -> None:
    calls, callers = _figures(look(0, 0), look(2, 20), "a", by)
    assert [(row.service, row.calls_per_second) for row in calls] == lines
    assert [(row.destination, row.calls_per_second) for row in callers] == [("a", 20.0)]


def span(number: int, parent: int, instance: str, code: int, **attributes: str) -> Span:
    told = {"rpc.grpc.status_code": code, **attributes}
    return Span(
        "abcdef01", str(number), str(parent or ""), "/x.A/Do", "server", "a", instance, number, 9, bool(code), told
    )


def test_a_failure_began_where_nothing_behind_it_failed() -> None:
    assert _failed_at([span(1, 0, "edge", 14), span(2, 1, "a-1", 14), span(3, 2, "b-1", 13)]) == "b-1 INTERNAL"
    assert _failed_at([span(1, 0, "edge", 14), span(2, 1, "a-1", 14), span(3, 2, "b-1", 0)]) == "a-1 UNAVAILABLE"
    assert _failed_at([span(1, 0, "edge", 0)]) == ""


def test_a_trace_is_found_by_its_own_id_and_by_the_edges() -> None:
    trace = Trace("abcdef01", (span(1, 0, "edge", 0, **{"guid:x-request-id": "7f7f7f-1"}),))
    assert _named([trace], "abcdef") == [trace]
    assert _named([trace], "7F7F7F-1") == [trace]
    with pytest.raises(LocalError, match="there is no trace"):
        _named([trace], "123456")
