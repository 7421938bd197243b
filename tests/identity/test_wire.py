"""Who gets through to a method: a real Consul and a real instance, and callers who are not what they should be."""

import asyncio
import contextlib
import datetime
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from retail.auth.v1 import auth_service_pb2 as auth
from retail.auth.v1.auth_service_pb2_grpc import AuthServiceStub

from mesh.error import from_rpc_error
from mesh.intentions import KIND, entry
from mesh.interceptors.incoming import FIRST_SECONDS
from mesh.local import Stack, running
from mesh.registry import Instance, Leaf, Registry
from tests.eventually import eventually, eventually_sync
from tests.meshed import connected_to
from tests.programs import Program, program

METHOD = "/retail.auth.v1.AuthService/GetJwks"
AT_ONCE_SECONDS = 2
"""Within which a changed intention is in force."""


@pytest.fixture(scope="module")
def consul() -> Iterator[Stack]:
    """One of its own: its roots are replaced."""
    with running(["consul"]) as stack:
        yield stack


@pytest.fixture(scope="module")
def consul_url(consul: Stack) -> str:
    return consul.environment["CONSUL_HTTP_ADDR"]


@pytest.fixture(scope="module")
def served(consul: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    environment = consul.environment | {"MESH_INSTANCE": "auth-1"}
    output = tmp_path_factory.mktemp("wire") / "log"
    with program("tests.chaos.instance", environment=environment, output=output) as started:
        started.registered()
        yield started


@pytest.fixture(scope="module")
def instance(served: Program) -> Instance:
    host, _, port = served.said("registered")[0]["address"].rpartition(":")
    return Instance("auth", "auth-1", host, int(port))


async def ask(channel: grpc.aio.Channel) -> str:
    """The name of the instance that answers, or the reason or code of the refusal."""
    try:
        return str((await AuthServiceStub(channel).GetJwks(auth.GetJwksRequest())).keys[0].kid)
    except grpc.aio.AioRpcError as failure:
        told = from_rpc_error(failure)
        return told.reason or told.code


async def test_a_workload_with_an_intention_gets_through(instance: Instance, consul_url: str) -> None:
    async with connected_to(instance, consul_url, service="demo") as channel:
        assert await ask(channel) == "auth-1"


async def test_one_without_is_refused_by_name_and_leaves_a_trail(
    instance: Instance, consul_url: str, served: Program
) -> None:
    async with connected_to(instance, consul_url, service="stranger") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await AuthServiceStub(channel).GetJwks(auth.GetJwksRequest())
    told = from_rpc_error(refused.value)
    assert (told.code, told.reason, told.domain) == ("PERMISSION_DENIED", "PEER_NOT_ALLOWED", "mesh.v1")
    assert told.metadata == {"source": "stranger", "method": METHOD}
    trail = eventually_sync(lambda: served.said("audit: workload refused"))
    assert trail[-1]["source"].endswith("/svc/stranger")
    assert trail[-1]["method"] == METHOD


async def test_one_that_goes_on_and_on_fills_no_log_and_every_refusal_is_counted(
    instance: Instance, consul_url: str, served: Program
) -> None:
    def trail() -> list[dict[str, Any]]:
        return [line for line in served.said("audit: workload refused") if line["source"].endswith("/svc/insistent")]

    async with connected_to(instance, consul_url, service="insistent") as channel:
        start = time.monotonic()
        for _ in range(100):
            assert await ask(channel) == "PEER_NOT_ALLOWED"
        took = time.monotonic() - start
    eventually_sync(lambda: sum(1 + line.get("more", 0) - ("more" in line) for line in trail()) == 100)
    assert len(trail()) <= 2 * (took + 1)


async def test_one_without_is_refused_before_it_has_sent_anything(instance: Instance, consul_url: str) -> None:
    async with connected_to(instance, consul_url, service="stranger") as channel:
        silent: Any = channel.stream_unary(METHOD)()
        async with asyncio.timeout(FIRST_SECONDS / 2):
            assert await silent.code() is grpc.StatusCode.PERMISSION_DENIED


@contextlib.asynccontextmanager
async def allowed(consul_url: str, *methods: str) -> AsyncIterator[None]:
    """An operator lets `newcomer` call these methods, and takes it back."""
    async with Registry(consul_url) as registry:
        before = next(each for each in await registry.config(KIND) if each["Name"] == "auth")
        new = entry("auth", {"demo": ("*",), "newcomer": methods})
        await registry.put_config(new)
        try:
            yield
        finally:
            await registry.put_config(before)


async def test_a_changed_intention_is_in_force_at_once_in_both_directions(instance: Instance, consul_url: str) -> None:
    async with connected_to(instance, consul_url, service="newcomer") as channel:
        assert await ask(channel) == "PEER_NOT_ALLOWED"

        async def answered() -> bool:
            return await ask(channel) == "auth-1"

        async def refused() -> bool:
            return await ask(channel) == "PEER_NOT_ALLOWED"

        async with allowed(consul_url, METHOD.removeprefix("/")):
            await eventually(answered, AT_ONCE_SECONDS)
            with pytest.raises(grpc.aio.AioRpcError) as other_method:
                await AuthServiceStub(channel).Login(auth.LoginRequest(username="ada", password="secret"))
            assert from_rpc_error(other_method.value).reason == "PEER_NOT_ALLOWED"
        await eventually(refused, AT_ONCE_SECONDS)


async def test_a_caller_in_clear_reaches_no_method(instance: Instance) -> None:
    async with grpc.aio.insecure_channel(f"{instance.host}:{instance.port}") as channel:
        assert await ask(channel) == "UNAVAILABLE"


async def test_a_server_of_another_name_is_not_believed(instance: Instance, consul_url: str) -> None:
    impostor = Instance("sales", "sales-1", instance.host, instance.port)  # what answers there is auth
    async with connected_to(impostor, consul_url) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await AuthServiceStub(channel).GetJwks(auth.GetJwksRequest(), timeout=5)
    assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "SAN" in str(failure.value.details()) or "erif" in str(failure.value.details())


def shaken(instance: Instance, folder: Path, leaf: Leaf | None) -> x509.Certificate:
    """The certificate of the server, after a handshake with this one of ours and a first answer of HTTP/2.

    Raises OSError (of which ssl.SSLError is one) if the server ends it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if leaf is not None:
        pem = folder / "both.pem"
        pem.write_text(leaf.chain_pem + leaf.key_pem)
        context.load_cert_chain(pem)
    with (
        socket.create_connection((instance.host, instance.port), timeout=5) as plain,
        context.wrap_socket(plain) as secured,
    ):
        secured.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
        if not secured.recv(9):
            raise ConnectionResetError("closed without an answer")
        served = secured.getpeercert(binary_form=True)
        assert served is not None
        return x509.load_der_x509_certificate(served)


def forged() -> Leaf:
    """A certificate for a name that is allowed, by a CA of our own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "forged")])
    uri = "spiffe://11111111-2222-3333-4444-555555555555.consul/ns/default/dc/dc1/svc/demo"
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Leaf(made.public_bytes(encoding).decode(), secret.decode(), uri)


async def leaf(consul_url: str, service: str) -> Leaf:
    async with Registry(consul_url) as registry:
        return await registry.leaf(service)


async def test_without_a_certificate_or_with_a_forged_one_there_is_no_connection(
    instance: Instance, consul_url: str, tmp_path: Path
) -> None:
    genuine = await leaf(consul_url, "demo")
    assert shaken(instance, tmp_path, genuine).not_valid_after_utc > datetime.datetime.now(datetime.UTC)
    for certificate in (None, forged()):
        with pytest.raises(OSError, match=r"(?i)certificate|unknown ca|reset|closed|handshake"):
            shaken(instance, tmp_path, certificate)


async def test_the_health_port_answers_checks_and_nothing_else(served: Program) -> None:
    [registered] = served.said("registered")
    host = registered["address"].rpartition(":")[0]
    async with grpc.aio.insecure_channel(f"{host}:{registered['health_port']}") as channel:
        untyped: Any = channel  # the types of these stubs know the synchronous channel only
        health: Any = health_pb2_grpc.HealthStub(untyped)
        answer = await health.Check(health_pb2.HealthCheckRequest(service="auth"))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert await ask(channel) == "UNIMPLEMENTED"
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(untyped)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await anext(aiter(reflection.ServerReflectionInfo(iter([asked]))))
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_handshake_shows_the_newest_certificate_and_open_connections_stay(
    instance: Instance, consul_url: str, tmp_path: Path
) -> None:
    mine = await leaf(consul_url, "demo")
    before = shaken(instance, tmp_path, mine)
    async with connected_to(instance, consul_url) as channel:
        assert await ask(channel) == "auth-1"
        config = {"LeafCertTTL": "72h", "PrivateKeyType": "ec", "PrivateKeyBits": 384}
        ca = f"{consul_url}/v1/connect/ca/configuration"
        httpx.put(ca, json={"Provider": "consul", "Config": config}).raise_for_status()

        async def renewed() -> bool:
            shown = await asyncio.to_thread(shaken, instance, tmp_path, mine)  # ours is of the old root, and still good
            return shown.issuer != before.issuer

        await eventually(renewed, 45)  # Consul takes up to 30 s, by chance, so that not all ask at once
        assert await ask(channel) == "auth-1"
