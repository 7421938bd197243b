"""Signals of a running stack: every service tells figures, spans and log lines of one call, and meshctl shows them.

Each service is made to fail one method, by its live settings, as only what fails is sure to have a log line.
"""

import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from mesh.live.follow import key
from mesh.local import Stack, running
from mesh.registry import Registry
from mesh.telemetry import traces
from mesh.telemetry.figures import Scrape, scraped
from mesh.telemetry.metrics import META
from mesh.telemetry.traces import Trace
from tests.eventually import eventually_sync

MESHCTL = Path(sys.executable).with_name("meshctl")
SALE_ID = "6f1d9f3e-58b1-4f6b-9c38-0d6d3a1f2b11"
METHODS = {
    "auth": "/retail.auth.v1.AuthService/GetJwks",
    "sales": "/retail.sales.v1.SalesService/GetSale",
    "gateway": "/envoy.service.ext_proc.v3.ExternalProcessor/Process",
}
"""The method of each service that fails."""


@dataclass(frozen=True)
class Called:
    """A stack on which each of METHODS has been called, within a trace that the caller began."""

    stack: Stack
    trace_ids: dict[str, str]
    token: str

    @property
    def run(self) -> Path:
        return Path(self.stack.environment["MESH_RUN_DIR"])

    def trace(self, service: str) -> Trace:
        """The trace of the call of this service's method, once its span and the edge's are there."""

        def complete() -> Trace | None:
            found = [each for each in traces.read(self.run) if each.trace_id == self.trace_ids[service]]
            return found[0] if found and {service, "edge"} <= {span.service for span in found[0].spans} else None

        trace = eventually_sync(complete, 20)
        assert trace is not None
        return trace

    def log(self, instance: str) -> list[dict[str, Any]]:
        """All lines; each has to be JSON."""
        return [json.loads(line) for line in (self.run / "logs" / f"{instance}.log").read_text().splitlines()]

    def figures(self, instance: str) -> Scrape:
        entry = httpx.get(f"{self.stack.environment['CONSUL_HTTP_ADDR']}/v1/agent/service/{instance}").json()
        return scraped(httpx.get(f"http://{entry['Address']}:{entry['Meta'][META]}/metrics").text)


@pytest.fixture(scope="module")
def called() -> Iterator[Called]:
    with running(["consul", "postgres", "envoy"], ["auth", "sales", "gateway"]) as stack:
        environment = stack.environment
        edge = httpx.Client(base_url=f"http://{environment['MESH_EDGE_ADDRESS']}", timeout=30)
        with edge:
            password = Path(environment["ADMIN_PASSWORD_FILE"]).read_text().strip()
            login = {"username": "admin", "password": password}
            token = str(edge.post("/v1/auth:login", json=login).raise_for_status().json()["tokens"]["accessToken"])
            asyncio.run(make_fail(environment["CONSUL_HTTP_ADDR"]))
            trace_ids = {}
            for service, call in calls(edge, token).items():
                eventually_sync(lambda call=call: call("") is not None, 20)  # type: ignore[misc]
                trace_ids[service] = f"{random.getrandbits(128) | 1:032x}"
                call(f"00-{trace_ids[service]}-00f067aa0ba902b7-01")
        yield Called(stack, trace_ids, token)


def calls(edge: httpx.Client, token: str) -> dict[str, Callable[[str], httpx.Response | None]]:
    """A call of each of METHODS, given a traceparent or ""."""
    bearer = {"authorization": f"Bearer {token}"}

    def headers(traceparent: str) -> dict[str, str]:
        return bearer | ({"traceparent": traceparent} if traceparent else {})

    def failed(answer: httpx.Response) -> httpx.Response | None:
        """The answer, once the fault is in force."""
        return answer if answer.status_code == 500 else None

    return {
        "auth": lambda traceparent: failed(edge.get("/v1/auth/jwks", headers=headers(traceparent))),
        "sales": lambda traceparent: failed(edge.get(f"/v1/sales/{SALE_ID}", headers=headers(traceparent))),
        # Envoy goes on without the check of a JSON body; that it failed nobody is told.
        "gateway": lambda traceparent: edge.post("/v1/sales", headers=headers(traceparent), json={}),
    }


async def make_fail(consul_url: str) -> None:
    async with Registry(consul_url) as registry:
        for service, path in METHODS.items():
            fault = {"methods": [path.rpartition("/")[2]], "abort": "DATA_LOSS"}
            await registry.put(key(service), json.dumps({"faults": {"broken": fault}}))


@pytest.mark.parametrize("service", METHODS)
class TestSignals:
    """The matrix of services and signals."""

    def test_figures(self, called: Called, service: str) -> None:
        package, _, method = METHODS[service].removeprefix("/").rpartition("/")
        labels = {("service", package), ("method", method)}
        figures = called.figures(f"{service}-1")
        assert figures["mesh_server_calls_total", frozenset({*labels, ("code", "DATA_LOSS")})] >= 1
        assert figures["mesh_server_call_seconds_count", frozenset(labels)] >= 1
        assert figures["mesh_server_calls_active", frozenset(labels)] >= 0

    def test_trace(self, called: Called, service: str) -> None:
        trace = called.trace(service)
        by_id = {span.span_id: span for span in trace.spans}
        [span] = [each for each in trace.spans if each.name == METHODS[service] and each.service == service]
        ancestors = []
        while (parent := by_id.get(span.parent_id)) is not None:
            ancestors.append(parent.service)
            span = parent
        assert ancestors  # Envoy has a span of its own for what it asks the gateway
        assert set(ancestors) == {"edge"}
        assert span.parent_id == "00f067aa0ba902b7"  # the caller's

    def test_log(self, called: Called, service: str) -> None:
        lines = called.log(f"{service}-1")
        [line] = [each for each in lines if each.get("trace_id") == called.trace_ids[service]]
        assert (line["message"], line["code"], line["method"]) == ("call failed", "DATA_LOSS", METHODS[service])
        assert (line["service"], line["instance"]) == (service, f"{service}-1")
        assert line["request_id"]


def test_the_control_plane_tells_figures_and_writes_json(called: Called) -> None:
    """Its calls are streams that last as long as their subscriber."""
    method = {
        ("service", "envoy.service.discovery.v3.AggregatedDiscoveryService"),
        ("method", "StreamAggregatedResources"),
    }
    assert called.figures("control")["mesh_server_calls_active", frozenset(method)] >= 1
    assert all(line["service"] in {"starting", "control"} for line in called.log("control"))


def test_no_secret_is_in_any_file_that_tells_of_calls(called: Called) -> None:
    called.trace("sales")
    password = Path(called.stack.environment["ADMIN_PASSWORD_FILE"]).read_text().strip()
    for folder in ("logs", "traces"):
        for path in (called.run / folder).iterdir():
            text = path.read_text()
            assert called.token not in text, path
            assert password not in text, path


def meshctl(called: Called, *arguments: str) -> str:
    environment = os.environ | {"MESH_RUN_DIR": str(called.run)}
    done = subprocess.run([MESHCTL, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def traffic(called: Called) -> Iterator[None]:
    """Calls of sales, a few dozen a second, while the block runs."""
    script = f"""
import httpx
client = httpx.Client(base_url="http://{called.stack.environment["MESH_EDGE_ADDRESS"]}")
while True:
    client.get("/v1/sales")
"""
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        try:
            yield
        finally:
            process.kill()


def test_top_shows_rates_of_the_moment(called: Called) -> None:
    with traffic(called):

        def sales() -> dict[str, Any] | None:
            found = json.loads(meshctl(called, "top", "sales", "--json", "--interval", "1"))["methods"]
            rows = [row for row in found if row["method"] == "SalesService/ListSales"]
            return rows[0] if rows and rows[0]["calls_per_second"] > 1 else None

        row = eventually_sync(sales, 20)
        assert row is not None
        assert row["errors_percent"] == 0  # a missing token is the caller's doing
        assert 0 < row["p50_milliseconds"] <= row["p99_milliseconds"]
        printed = meshctl(called, "top", "--once", "--interval", "0.5")
    titles, *rows = printed.splitlines()
    assert titles.split() == ["SERVICE", "METHOD", "CALLS/S", "ERRORS", "P50", "MS", "P99", "MS", "IN", "FLIGHT"]
    assert any(row.split()[:2] == ["sales", "SalesService/ListSales"] for row in rows)


def test_traces_lists_and_draws(called: Called) -> None:
    trace = called.trace("sales")
    assert trace.trace_id in meshctl(called, "traces", "--last", "100000")
    assert trace.trace_id in meshctl(called, "traces", "--errors")
    assert trace.trace_id not in meshctl(called, "traces", "--min-ms", "100000")
    assert len(json.loads(meshctl(called, "traces", "--last", "2", "--json"))) == 2
    head, edge, service = meshctl(called, "traces", trace.trace_id[:10]).rstrip().splitlines()
    assert head.startswith(trace.trace_id)
    assert edge.startswith("└── edge server")
    assert service.startswith(f"    └── sales-1 server {METHODS['sales']}")
    assert "DATA_LOSS  from edge" in service
