"""`meshctl policy`: the contracts as a table."""

from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from mesh.v1 import options_pb2

from tests.cli.conftest import ROOT, meshctl


def test_every_method_has_its_line(tmp_path: Path) -> None:
    status, printed, _ = meshctl(ROOT, "policy", run_dir=tmp_path)
    assert status == 0
    described = FileDescriptorSet.FromString((ROOT / "gen" / "contracts.binpb").read_bytes())
    methods = [
        f"{file.package}.{service.name}/{method.name}"
        for file in described.file
        if file.package.startswith("retail.")
        for service in file.service
        for method in service.method
    ]
    title, *lines = printed.splitlines()
    assert title.split() == ["SERVICE", "METHOD", "KIND", "ACCESS", "DEADLINE", "RETRIED", "ON", "LIMITS", "AUDITED"]
    assert sorted(line.split()[1] for line in lines) == sorted(methods)


def test_what_the_contract_says_is_what_is_shown(tmp_path: Path) -> None:
    status, printed, _ = meshctl(ROOT, "policy", "auth", run_dir=tmp_path)
    assert status == 0
    login, get_jwks = printed.splitlines()[1], printed.splitlines()[3]
    assert login.split("  ") != get_jwks.split("  ")
    for part in ("retail.auth.v1.AuthService/Login ", "unary", "public", "10 s", "never", "30 in 60 s", "yes"):
        assert part in login
    for part in ("retail.auth.v1.AuthService/GetJwks ", "2 s", "UNAVAILABLE"):
        assert part in get_jwks
    assert "yes" not in get_jwks


def test_what_is_not_there_is_said_in_a_line(tmp_path: Path) -> None:
    assert meshctl(ROOT, "policy", "nothing", run_dir=tmp_path)[::2] == (
        1,
        "meshctl: no contract has a service 'nothing'; there are analytics, auth, ingest, sales, search\n",
    )
    other = tmp_path / "mesh.toml"
    other.write_text("")
    status, _, said = meshctl(tmp_path, "policy", run_dir=tmp_path)
    assert status == 1
    assert "has no --contracts" in said
    status, _, said = meshctl(tmp_path, "policy", "--contracts", str(other / ".." / "none"), run_dir=tmp_path)
    assert status == 1
    assert "No such file" in said or "Not a directory" in said


@pytest.mark.parametrize("access", [{}, {"permission": ""}, {"public": False}])
def test_a_method_without_a_policy_is_named(tmp_path: Path, access: dict[str, Any]) -> None:
    described = FileDescriptorSet()
    service = described.file.add(name="shop.proto", package="shop.v1").service.add(name="ShopService")
    service.options.Extensions[options_pb2.service_name] = "shop"
    buy = service.method.add(name="Buy", input_type=".shop.v1.BuyRequest", output_type=".shop.v1.BuyResponse")
    buy.options.Extensions[options_pb2.policy].CopyFrom(options_pb2.MethodPolicy(**access))
    buy.options.Extensions[options_pb2.policy].default_deadline.seconds = 1
    contracts = tmp_path / "contracts.binpb"
    contracts.write_bytes(described.SerializeToString())
    status, _, said = meshctl(ROOT, "policy", "--contracts", str(contracts), run_dir=tmp_path)
    assert status == 1
    assert "/shop.v1.ShopService/Buy has no option (mesh.v1.policy)" in said
