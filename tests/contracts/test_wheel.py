"""The wheel that other teams get: alone, with what it declares, in an environment that has nothing else."""

import asyncio
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from retail.sales.v1 import sales_service_pb2 as sales
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceServicer

from mesh.local.tools.cache import cache_folder
from mesh.testing import serving

ROOT = Path(__file__).resolve().parents[2]
SALE_ID = "6f1d9f3e-58b1-4f6b-9c38-0d6d3a1f2b11"

CLIENT = """
import asyncio, sys
import grpc
from retail.sales.v1 import sales_service_pb2 as sales
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceStub

async def main(address, token, sale_id):
    async with grpc.aio.insecure_channel(address) as channel:
        request = sales.GetSaleRequest(sale_id=sale_id)
        answer = await SalesServiceStub(channel).GetSale(request, metadata=(("authorization", f"Bearer {token}"),))
        print(answer.sale.sale_id, answer.sale.country)

asyncio.run(main(*sys.argv[1:]))
"""


class Sales(SalesServiceServicer):
    async def GetSale(self, request: Any, context: Any) -> sales.GetSaleResponse:
        return sales.GetSaleResponse(sale=sales.Sale(sale_id=request.sale_id, country="France"))

    RecordSale = ListSales = None  # type: ignore[assignment]


@pytest.fixture(scope="module")
def uv() -> str:
    own = sorted(cache_folder().glob("uv-*/bin"))
    found = shutil.which("uv", path=os.pathsep.join([*map(str, own), os.environ["PATH"]]))
    assert found, "scripts/setup fetches uv where there is none"
    return found


@pytest.fixture(scope="module")
def wheel(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of gen/, with nothing to fetch."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "gen", folder / "gen", ignore=shutil.ignore_patterns("__pycache__"))
    options = ("--wheel", "--no-build-isolation", "--offline", "--python", sys.executable, "--out-dir", str(folder))
    subprocess.run([uv, "build", "--quiet", *options, str(folder / "gen")], check=True)
    [built] = folder.glob("*.whl")
    return built


def test_it_holds_the_contracts_with_their_types_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in ("sales_service_pb2.py", "sales_service_pb2.pyi", "sales_service_pb2_grpc.pyi", "py.typed"):
        assert f"retail/sales/v1/{name}" in names
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"retail", "mesh", "buf"}
    # `mesh` is another distribution's package too: here are the contract's options, and no module that could hide it.
    assert {name.rpartition("/")[0] for name in names if name.startswith("mesh/")} == {"mesh/v1"}
    assert not [name for name in names if name.endswith("__init__.py")]


@pytest.fixture
def python(uv: str, wheel: Path, tmp_path: Path) -> Path:
    """An interpreter that has the wheel and what it declares."""
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(tmp_path / "env")], check=True)
    # The lock's versions, so that what the project has installed before is taken from uv's cache.
    lock = ("--constraint", str(ROOT / "requirements.lock"))
    subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), *lock, str(wheel)], check=True)
    return python


async def test_it_calls_a_running_service(python: Path) -> None:
    async with serving(Sales()) as server:
        token = server.issuer.token(permissions={"sales.read"})
        command = [str(python), "-I", "-W", "error", "-c", CLIENT, server.address, token, SALE_ID]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{SALE_ID} France\n", "")
