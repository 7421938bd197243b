"""A Go program calls `xds:///sales` by what `meshctl bootstrap` wrote for it, and by nothing else."""

import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.cli.test_certs import certificate
from tests.eventually import eventually_sync
from tests.foreign.conftest import Mesh

LIST, GET = (f"retail.sales.v1.SalesService/{name}" for name in ("ListSales", "GetSale"))


def test_it_calls_every_instance_over_mutual_tls(mesh: Mesh, tmp_path: Path) -> None:
    bootstrap = mesh.bootstrap("reports", tmp_path, "--call", "sales")
    eventually_sync(lambda: mesh.call(bootstrap, LIST)[0]["code"] == "OK", 20)
    outcomes = mesh.call(bootstrap, LIST, request='{"pageSize": 5}', calls=20)
    assert {outcome["code"] for outcome in outcomes} == {"OK"}
    instances = {row.address for row in mesh.stack.status() if row.name.startswith("sales-")}
    assert len(instances) == 2
    assert {outcome["peer"] for outcome in outcomes} == instances


def test_it_is_refused_what_no_intention_allows(mesh: Mesh, tmp_path: Path) -> None:
    bootstrap = mesh.bootstrap("stranger", tmp_path)
    (refused,) = mesh.call(bootstrap, LIST)
    assert refused["code"] == "PermissionDenied"
    assert refused["message"] == f"No intention allows stranger to call /{LIST}"

    mesh.meshctl("intentions", "allow", "stranger", "sales", LIST)
    eventually_sync(lambda: mesh.call(bootstrap, LIST)[0]["code"] == "OK")
    (refused,) = mesh.call(bootstrap, GET)
    assert refused["code"] == "PermissionDenied"


def test_it_is_refused_without_a_certificate(mesh: Mesh, tmp_path: Path) -> None:
    bootstrap = mesh.bootstrap("bare", tmp_path, "--call", "sales")
    complete = bootstrap.read_text()
    bare = json.loads(complete)
    for name in ("certificate_file", "private_key_file"):
        del bare["certificate_providers"]["mesh"]["config"][name]
    bootstrap.write_text(json.dumps(bare))
    (failed,) = mesh.call(bootstrap, LIST)
    assert failed["code"] == "Unavailable"
    assert "x509" not in failed["message"]  # it believed the server, which hung up

    bootstrap.write_text(complete)
    eventually_sync(lambda: mesh.call(bootstrap, LIST)[0]["code"] == "OK")


def test_it_believes_no_server_whose_certificate_is_of_another_ca(mesh: Mesh, tmp_path: Path) -> None:
    bootstrap = mesh.bootstrap("careful", tmp_path, "--call", "sales")
    stranger = certificate("stranger", ec.generate_private_key(ec.SECP256R1()))
    roots = tmp_path / "identity" / "current" / "roots.pem"
    roots.write_bytes(stranger.public_bytes(Encoding.PEM))
    (failed,) = mesh.call(bootstrap, LIST)
    assert failed["code"] == "Unavailable"
    assert "certificate signed by unknown authority" in failed["message"]
