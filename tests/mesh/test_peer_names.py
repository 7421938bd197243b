"""A SPIFFE ID counts where a certificate names its holder's URI, and nowhere else."""

from pathlib import Path

import grpc
import pytest
from cryptography import x509
from retail.sales.v1 import sales_service_pb2 as sales
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceStub

from bench.certificates import DATACENTER, DNS_NAME, TRUST_DOMAIN, Authority
from bench.instance import Sales
from mesh.error import from_rpc_error
from mesh.identity import Identity, SpiffeId
from mesh.identity.credentials import server_credentials
from mesh.intentions import Intentions, entry, rules
from mesh.interceptors.errors import Errors
from mesh.interceptors.incoming import Incoming
from mesh.interceptors.peer import Peer
from mesh.server import Server

FRIEND = str(SpiffeId(TRUST_DOMAIN, DATACENTER, "friend"))
SALE_ID = "6f1d9f3e-58b1-4f6b-9c38-0d6d3a1f2b11"


@pytest.mark.parametrize(
    ("common_name", "uris", "answered"),
    [
        ("", [FRIEND], "sale"),
        (FRIEND, [], "PEER_UNKNOWN"),  # gRPC then gives this name as the peer's identity
        (FRIEND, ["https://friend.example"], "PEER_UNKNOWN"),
        ("", [FRIEND, FRIEND + "-two"], "PEER_UNKNOWN"),
        ("", [FRIEND + "-two"], "PEER_NOT_ALLOWED"),
    ],
)
async def test_only_the_one_uri_of_a_certificate_says_who_calls(
    common_name: str, uris: list[str], answered: str, tmp_path: Path
) -> None:
    authority = Authority()
    identity = Identity(tmp_path / "sales", authority.write("sales", tmp_path / "sales"))
    allowed = Intentions("sales", rules([entry("sales", {"friend": ["*"]})]))
    server = Server(Sales(), interceptors=[Errors(), Peer(identity, allowed), Incoming()])  # type: ignore[abstract]
    port = await server.start("127.0.0.1", credentials=server_credentials(identity))
    try:
        key, chain = authority.signed(common_name, [x509.UniformResourceIdentifier(uri) for uri in uris])
        credentials = grpc.ssl_channel_credentials(authority.roots.pem.encode(), key.encode(), chain.encode())
        options = [("grpc.ssl_target_name_override", DNS_NAME)]
        async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
            assert await ask(channel) == answered
    finally:
        await server.stop(None)


async def ask(channel: grpc.aio.Channel) -> str:
    try:
        response = await SalesServiceStub(channel).GetSale(sales.GetSaleRequest(sale_id=SALE_ID))
    except grpc.aio.AioRpcError as failure:
        return from_rpc_error(failure).reason
    return "sale" if response.sale.sale_id == SALE_ID else ""
