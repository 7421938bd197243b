"""Two control planes in one stack."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from retail.auth.v1.auth_service_pb2 import GetJwksRequest
from retail.auth.v1.auth_service_pb2_grpc import AuthServiceStub

from mesh.local import Stack, running
from mesh.local.supervisor import Supervisor
from tests.meshed import connected

MESH_TOML = """
components = ["consul"]

[control]
command = ["python", "-m", "mesh.control"]
replicas = 2

[services.auth]
command = ["python", "-m", "tests.chaos.instance"]

[intentions.auth]
demo = ["*"]
"""


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    (tmp_path / "mesh.toml").write_text(MESH_TOML)
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    with running(None, None, root=tmp_path) as stack:
        yield stack


async def test_all_are_told_of_both_and_one_is_enough(stack: Stack) -> None:
    planes = {row.name: row for row in stack.status() if row.name.startswith("control")}
    assert sorted(planes) == ["control", "control-2"]
    assert all(row.healthy for row in planes.values())
    assert stack.environment["MESH_XDS_SERVERS"] == ",".join(row.address for row in planes.values())
    for lost in ([], ["control"]):
        Supervisor(stack.run).stop(lost)
        async with connected(stack.environment, "auth") as channel:
            answer = await AuthServiceStub(channel).GetJwks(GetJwksRequest(), timeout=10)
            assert answer.keys[0].kid == "auth-1"
