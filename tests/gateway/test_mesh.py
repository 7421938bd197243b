"""Envoy as a client of the mesh: its identity, the versions it divides calls between, and instances that hang."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from mesh.live import split
from mesh.local.supervisor import Supervisor
from mesh.registry import Registry
from tests.eventually import eventually_sync
from tests.gateway.conftest import Edge, refusal
from tests.gateway.test_outages import load, more
from tests.programs import program

WATCH = "/v1/jobs/6f1d9f3e-58b1-4f6b-9c38-0d6d3a1f2b11:watch"
CALLS = 3000
SECONDS_TO_NOTICE = 8
"""Keepalive in mesh/control/clusters.py finds an instance that hangs within 4 s; the machine is busy."""


def admin(edge: Edge, path: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{edge.stack.port('envoy-admin')}{path}").raise_for_status()


def calls(edge: Edge, cluster: str) -> int:
    """How many a cluster has got."""
    found = admin(edge, f"/stats?filter=^cluster.{cluster}.upstream_rq_total$").text
    return int(found.split(":")[1]) if found else 0


def directory(edge: Edge) -> Path:
    return Path(edge.stack.environment["MESH_RUN_DIR"]) / "identity" / "edge"


def certificate(edge: Edge) -> x509.Certificate:
    return x509.load_pem_x509_certificate((directory(edge) / "current" / "cert.pem").read_bytes())


def shown(edge: Edge) -> set[int]:
    """The serial numbers of the certificates that Envoy shows to services."""
    found = admin(edge, "/certs").json()["certificates"]
    return {int(each["serial_number"], 16) for entry in found for each in entry["cert_chain"]}


def test_a_renewed_certificate_is_taken_while_calls_go_on(edge: Edge) -> None:
    """A new root of the CA gives everybody a new certificate."""
    before = certificate(edge)
    assert shown(edge) == {before.serial_number}
    with load(edge) as statuses:
        url = f"{edge.stack.environment['CONSUL_HTTP_ADDR']}/v1/connect/ca/configuration"
        config = {"LeafCertTTL": "72h", "PrivateKeyType": "ec", "PrivateKeyBits": 384}
        httpx.put(url, json={"Provider": "consul", "Config": config}).raise_for_status()
        eventually_sync(lambda: certificate(edge).serial_number != before.serial_number, 30)
        eventually_sync(lambda: shown(edge) == {certificate(edge).serial_number})
        more(statuses)
    assert set(statuses) == {200}
    assert certificate(edge).not_valid_after_utc > datetime.now(UTC)


@pytest.fixture
def canary(edge: Edge, tmp_path: Path) -> Iterator[None]:
    """An instance of ingest of another version, that gets a tenth of the calls."""
    environment = edge.stack.environment | {"MESH_INSTANCE": "ingest-2", "MESH_VERSION": "2"}
    version = edge.stack.environment["MESH_VERSION"]
    consul = edge.stack.environment["CONSUL_HTTP_ADDR"]

    async def divide(weights: Mapping[str, float]) -> None:
        async with Registry(consul) as registry:
            await (split.write(registry, "ingest", weights) if weights else split.clear(registry, "ingest"))

    with program("tests.gateway.ingest", environment=environment, output=tmp_path / "log") as ingest:
        ingest.registered()
        asyncio.run(divide({version: 90, "2": 10}))
        yield
        asyncio.run(divide({}))


@pytest.mark.usefixtures("canary")
def test_a_tenth_goes_to_another_version(edge: Edge, rest: httpx.Client) -> None:
    def divided() -> bool:
        assert rest.get(WATCH).status_code == 200
        return calls(edge, "ingest/v-2") > 0

    eventually_sync(divided, 20)
    before = calls(edge, "ingest/v-2")
    for _ in range(CALLS):
        assert rest.get(WATCH).status_code == 200
    assert 0.08 <= (calls(edge, "ingest/v-2") - before) / CALLS <= 0.12


@pytest.fixture
def second(edge: Edge) -> Iterator[int]:
    """The process of a second instance of sales, which hangs when a test has stopped it."""
    edge.stack.up({"sales": 2})
    pid = Supervisor(edge.stack.run).state("sales-2").pid
    yield pid
    os.kill(pid, signal.SIGCONT)
    eventually_sync(lambda: all(row.healthy for row in edge.stack.status()), 30)
    edge.stack.up({"sales": 1})


def test_an_instance_that_hangs_fails_no_call_that_may_be_made_again(edge: Edge, second: int) -> None:
    with load(edge) as statuses:
        more(statuses)
        os.kill(second, signal.SIGSTOP)
        start = time.monotonic()
        more(statuses, 300)
        assert time.monotonic() - start < 2 * SECONDS_TO_NOTICE
    assert set(statuses) == {200}


def test_when_the_only_instance_hangs_a_call_ends(edge: Edge, rest: httpx.Client) -> None:
    pid = Supervisor(edge.stack.run).state("sales-1").pid
    assert rest.get("/v1/sales").status_code == 200
    os.kill(pid, signal.SIGSTOP)
    try:
        start = time.monotonic()
        found = refusal(rest.get("/v1/sales"))
        assert time.monotonic() - start < 2 * SECONDS_TO_NOTICE
        assert found in {(503, 14, "UNREACHABLE"), (504, 4, "DEADLINE_EXCEEDED")}
    finally:
        os.kill(pid, signal.SIGCONT)
    eventually_sync(lambda: rest.get("/v1/sales").status_code == 200, 30)


def test_headers_that_are_too_large_are_refused(rest: httpx.Client) -> None:
    assert refusal(rest.get("/v1/sales", headers={"x-large": "x" * 70_000})) == (431, 3, "TOO_LARGE")
