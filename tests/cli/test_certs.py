"""`meshctl certs`: before a real CA and a real instance, and what is said of certificates that are near their end."""

import json
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from mesh.identity import store
from mesh.identity.inspection import Inspected, Standing, standing
from mesh.registry import Leaf, Roots
from tests.cli.conftest import Project
from tests.eventually import eventually_sync
from tests.programs import program

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def instance(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    environment = project.stack.environment | {"MESH_INSTANCE": "auth-1"}
    output = tmp_path_factory.mktemp("auth") / "log"
    with program("tests.control.greeter", environment=environment, output=output) as greeter:
        greeter.registered()
        yield


def certificates(project: Project) -> dict[str, dict[str, Any]]:
    found: list[dict[str, Any]] = project.told("certs")["certificates"]
    return {each["where"].partition(" ")[0]: each for each in found}


@pytest.mark.usefixtures("instance")
def test_an_instance_and_its_folder_have_the_same_certificate(project: Project) -> None:
    known = certificates(project)
    for where in ("auth-1", "identity/auth"):
        assert known[where]["spiffe_id"].endswith("/svc/auth")
        assert known[where]["problem"] is None
        assert known[where]["remaining_seconds"] > 0
    assert {key: value for key, value in known["auth-1"].items() if key != "where"} == {
        key: value for key, value in known["identity/auth"].items() if key != "where"
    }
    assert known["auth-1"]["signed_by"] in {root["name"] for root in project.told("certs")["roots"]}

    status, printed, _ = project.meshctl("certs")
    assert status == 0
    assert "/svc/auth" in printed
    assert "PRIVATE" not in printed


@pytest.mark.usefixtures("instance")
def test_while_the_root_is_replaced_both_are_shown(project: Project) -> None:
    (old,) = (root["name"] for root in project.told("certs")["roots"] if root["active"])
    rotate(project.stack.environment["CONSUL_HTTP_ADDR"])
    new, *rest = (root for root in project.told("certs")["roots"])
    assert new["active"]
    assert new["name"] != old
    assert (old, False) in [(root["name"], root["active"]) for root in rest]
    eventually_sync(lambda: project.meshctl("certs")[0] == 0)  # folders take the new one
    for each in certificates(project).values():  # those of the old one are good till Consul has renewed them
        assert each["signed_by"] is not None


def test_a_folder_that_is_not_renewed_is_found(project: Project) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    stranger = certificate("spiffe://elsewhere/ns/default/dc/dc1/svc/old", key, now - timedelta(1), now + timedelta(1))
    pem = stranger.public_bytes(Encoding.PEM).decode()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    folder = project.stack.run.path / "identity" / "old"
    store.write(folder, Leaf(pem, private, "spiffe://elsewhere"), Roots("elsewhere", pem))
    try:
        status, printed, _ = project.meshctl("certs")
        assert status == 1
        assert "signed by no root that Consul trusts" in printed
    finally:
        (folder / "current").unlink()
    assert project.meshctl("certs")[0] == 0


@given(st.floats(-1, 2))
def test_what_is_said_of_the_time_that_is_left(share: float) -> None:
    lifetime = timedelta(hours=72)
    said = standing(START, START + lifetime, START + lifetime * (1 - share))
    if share <= -0.001:
        assert said is Standing.EXPIRED
    elif 0.001 < share < 0.099:
        assert said is Standing.OVERDUE
    elif 0.101 < share < 0.199:
        assert said is Standing.ENDING
    elif share > 0.201:
        assert said is Standing.SOUND


def test_a_certificate_leads_to_a_root_through_those_between() -> None:
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    root = certificate("root", keys[0])
    between = certificate("between", keys[1], issuer=(root, keys[0]))
    leaf = certificate("spiffe://x/svc/a", keys[2], issuer=(between, keys[1]))
    other = certificate("root", keys[2])
    assert Inspected.of([leaf, between], [other, root]).signer == "root"
    assert Inspected.of([leaf], [other, root]).signer is None
    assert Inspected.of([leaf, between], [other]).signer is None
    assert Inspected.of([leaf, between, between], [other]).signer is None


def certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issued: datetime = START,
    expires: datetime = START + timedelta(days=3),
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(issued)
        .not_valid_after(expires)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(name)]), critical=False)
    )
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256())


def rotate(consul_url: str) -> None:
    """Gives Consul's CA another key, which makes a new root."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    body = {"Provider": "consul", "Config": {"PrivateKey": private, "LeafCertTTL": "72h"}}
    url = f"{consul_url}/v1/connect/ca/configuration"
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), method="PUT")).close()
