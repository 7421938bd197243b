"""The edge before real services: Consul, PostgreSQL, control plane, gateway, Envoy and sales, and a stand-in of ingest.

There is no auth: an issuer of the tests publishes its keys where auth would.
"""

import asyncio
import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import pytest

from mesh.client import MeshChannel
from mesh.local import Stack, running
from mesh.registry import Registry
from mesh.testing import Issuer
from mesh.token_keys import KEY
from tests.eventually import eventually_sync
from tests.programs import Program, program
from tests.stacks import without

EVERYTHING = frozenset({"sales.read", "sales.write", "files.write", "jobs.read", "search.read"})


@dataclass(frozen=True)
class Edge:
    """The edge, and what a test needs to know of what is behind it."""

    stack: Stack
    issuer: Issuer
    ingest: Program

    @property
    def address(self) -> str:
        return self.stack.environment["MESH_EDGE_ADDRESS"]

    def rest(self, permissions: Collection[str] = EVERYTHING, *, token: str | None = None) -> httpx.Client:
        """A REST client with a token of these permissions, or with this token; "" sends none."""
        token = self.issuer.token(permissions=permissions) if token is None else token
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=f"http://{self.address}", headers=headers, timeout=60)

    def channel(self, token: str | None = None) -> grpc.aio.Channel:
        """A gRPC channel with a token of all permissions, or with this one; "" sends none."""
        token = self.issuer.token(permissions=EVERYTHING) if token is None else token
        return MeshChannel(grpc.aio.insecure_channel(self.address), self.address, token=lambda: token)

    def stopped(self, name: str) -> contextlib.AbstractContextManager[None]:
        return without(self.stack, name)


def publish(environment: Mapping[str, str], issuer: Issuer) -> None:
    """Makes the issuer's keys the ones that verify tokens."""

    async def put() -> None:
        async with Registry(environment["CONSUL_HTTP_ADDR"]) as registry:
            await registry.put(KEY, issuer.published().to_json())

    asyncio.run(put())


@pytest.fixture(scope="package")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with running(["consul", "postgres", "envoy"], ["sales", "gateway"]) as stack:
        issuer = Issuer()
        publish(stack.environment, issuer)
        environment = stack.environment | {"MESH_INSTANCE": "ingest-1"}
        output = tmp_path_factory.mktemp("ingest") / "log"
        with program("tests.gateway.ingest", environment=environment, output=output) as ingest:
            ingest.registered()
            edge = Edge(stack, issuer, ingest)
            with edge.rest() as client:  # tokens are taken, and each service answers
                eventually_sync(lambda: client.get("/v1/sales").status_code == 200, 20)
                eventually_sync(lambda: client.get("/v1/jobs").status_code == 501, 20)
            yield edge


@pytest.fixture
def rest(edge: Edge) -> Iterator[httpx.Client]:
    with edge.rest() as client:
        yield client


def refusal(response: httpx.Response) -> tuple[int, int, str]:
    """The status, the code and the reason of a refused REST call, which must be a `google.rpc.Status` in JSON."""
    assert response.headers["content-type"] == "application/json"
    body: dict[str, Any] = response.json()
    assert set(body) == {"code", "message", "details"}
    assert body["message"]
    reasons = [detail["reason"] for detail in body["details"] if detail["@type"].endswith("google.rpc.ErrorInfo")]
    return response.status_code, body["code"], reasons[0] if reasons else ""
