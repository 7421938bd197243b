"""Tokens at the edge: refused there or by the service, a caller sees one contract."""

import base64
import hmac
import json
import time
from collections.abc import Callable

import grpc
import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from retail.sales.v1 import sales_service_pb2 as sales
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceStub

from mesh.error import from_rpc_error
from mesh.testing import Issuer
from tests.eventually import eventually_sync
from tests.gateway.conftest import Edge, publish, refusal

PERMISSIONS = {"sales.read"}


def forged(issuer: Issuer, algorithm: str, sign: Callable[[bytes], bytes], **claims: str) -> str:
    """A token of the issuer with these claims and with a signature of our own."""
    _, payload, _ = issuer.token(permissions=PERMISSIONS, claims=claims).split(".")
    header = _encoded(json.dumps({"alg": algorithm, "typ": "at+jwt", "kid": issuer.key_id}).encode())
    return f"{header}.{payload}.{_encoded(sign(f'{header}.{payload}'.encode()))}"


def signed_with_the_public_key(issuer: Issuer) -> str:
    """The trick of RFC 8725 2.1: the public key taken for a shared secret."""
    point = issuer.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return forged(issuer, "HS256", lambda content: hmac.digest(point, content, "sha256"))


def altered(issuer: Issuer) -> str:
    signature = issuer.token(permissions=PERMISSIONS).rpartition(".")[2]
    return forged(issuer, "ES256", lambda _: base64.urlsafe_b64decode(signature + "=="), scope="sales.write")


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


REFUSED: list[tuple[str, Callable[[Issuer], str], str]] = [
    ("expired", lambda issuer: issuer.token(permissions=PERMISSIONS, claims={"exp": int(time.time()) - 1}), "EXPIRED"),
    ("not a token", lambda _: "abc", "INVALID"),
    ("empty", lambda _: ".", "INVALID"),
    ("altered", altered, "INVALID"),
    ("unsigned", lambda issuer: forged(issuer, "none", lambda _: b""), "INVALID"),
    ("signed with the public key", signed_with_the_public_key, "INVALID"),
    ("another signer", lambda _: Issuer().token(permissions=PERMISSIONS), "INVALID"),
    ("unknown key", lambda issuer: Issuer(key_id="other").token(permissions=PERMISSIONS), "INVALID"),
    ("another issuer", lambda issuer: issuer.token(permissions=PERMISSIONS, claims={"iss": "https://x"}), "INVALID"),
    ("another audience", lambda issuer: issuer.token(permissions=PERMISSIONS, claims={"aud": "x"}), "INVALID"),
    ("another type", lambda issuer: issuer.token(permissions=PERMISSIONS, header={"typ": "JWT"}), "INVALID"),
    ("no expiry", lambda issuer: issuer.token(permissions=PERMISSIONS, claims={"exp": None}), "INVALID"),
    ("none", lambda _: "", "MISSING"),
]


@pytest.mark.parametrize(("make", "reason"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
async def test_a_bad_token_is_refused_alike_over_rest_and_grpc(
    edge: Edge, make: Callable[[Issuer], str], reason: str
) -> None:
    token = make(edge.issuer)
    with edge.rest(token=token) as rest:
        assert refusal(rest.get("/v1/sales")) == (401, 16, f"TOKEN_{reason}")

    async with edge.channel(token) as channel:
        with pytest.raises(grpc.RpcError) as failure:
            await SalesServiceStub(channel).ListSales(sales.ListSalesRequest())
    said = from_rpc_error(failure.value)
    assert (said.code, said.reason, said.domain) == ("UNAUTHENTICATED", f"TOKEN_{reason}", "mesh.v1")


def test_another_scheme_and_two_tokens_are_no_token(edge: Edge) -> None:
    token = edge.issuer.token(permissions=PERMISSIONS)
    with edge.rest(token="") as rest:
        assert refusal(rest.get("/v1/sales", headers={"authorization": "Basic dTpw"})) == (401, 16, "TOKEN_INVALID")
        twice = [("authorization", f"Bearer {token}")] * 2
        assert refusal(rest.get("/v1/sales", headers=twice)) == (401, 16, "TOKEN_INVALID")
        assert rest.get("/v1/sales", params={"access_token": token}).status_code == 400


def test_a_missing_permission_is_named(edge: Edge) -> None:
    with edge.rest({"sales.read"}) as rest:
        response = rest.post("/v1/sales", json={})
    assert refusal(response) == (403, 7, "PERMISSION_MISSING")
    assert response.json()["details"][0]["metadata"] == {"permission": "sales.write"}


def test_a_public_method_takes_no_notice_of_a_token(edge: Edge) -> None:
    with edge.rest(token="abc") as rest:
        for path in ("/.well-known/jwks.json", "/v1/auth/jwks"):  # there is no auth here, and it would be asked
            assert refusal(rest.get(path)) == (503, 14, "UNREACHABLE")


def test_new_keys_are_taken_and_old_tokens_refused(edge: Edge) -> None:
    new, old = Issuer(key_id="new"), edge.issuer.token(permissions=PERMISSIONS)

    def answers(token: str) -> Callable[[], bool]:
        headers = {"authorization": f"Bearer {token}"}
        return lambda: httpx.get(f"http://{edge.address}/v1/sales", headers=headers).status_code == 200

    try:
        publish(edge.stack.environment, new)
        eventually_sync(answers(new.token(permissions=PERMISSIONS)), 5)
        eventually_sync(lambda: not answers(old)(), 5)
    finally:
        publish(edge.stack.environment, edge.issuer)
        eventually_sync(answers(old), 5)
