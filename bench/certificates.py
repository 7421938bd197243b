"""Certificates as Consul's Connect CA makes them, but with a DNS name too, so that plain gRPC can check them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mesh.identity import store
from mesh.identity.holder import Certificate
from mesh.identity.spiffe import SpiffeId
from mesh.registry import Leaf, Roots

TRUST_DOMAIN = "bench.consul"
DATACENTER = "dc1"
DNS_NAME = "instance.bench"


class Authority:
    """A CA for the length of a measurement."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
        built = self._begun(self._name, self._key).add_extension(x509.BasicConstraints(True, None), critical=True)
        self.roots = Roots(TRUST_DOMAIN, _pem(built.sign(self._key, hashes.SHA256())))

    def leaf(self, service: str) -> Leaf:
        spiffe_id = str(SpiffeId(TRUST_DOMAIN, DATACENTER, service))
        key_pem, chain_pem = self.signed("", [x509.UniformResourceIdentifier(spiffe_id), x509.DNSName(DNS_NAME)])
        return Leaf(chain_pem, key_pem, spiffe_id)

    def signed(self, common_name: str, names: Sequence[x509.GeneralName]) -> tuple[str, str]:
        """A new key and a certificate for it, each as PEM; without names it has no such extension."""
        key = ec.generate_private_key(ec.SECP256R1())
        given = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
        built = self._begun(x509.Name(given), key)
        if names:
            built = built.add_extension(x509.SubjectAlternativeName(names), critical=True)
        key_pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return key_pem.decode(), _pem(built.sign(self._key, hashes.SHA256()))

    def write(self, service: str, directory: Path) -> Certificate:
        """A new certificate, as a process of the service holds it in `directory`."""
        certificate = Certificate(self.leaf(service), self.roots)
        store.write(directory, certificate.leaf, certificate.roots)
        return certificate

    def _begun(self, name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=name,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(minutes=1),
            not_valid_after=now + timedelta(days=1),
        )


def read(directory: Path, service: str) -> Certificate:
    """What `Authority.write` wrote, for another process."""
    current = directory / "current"
    leaf = Leaf(
        (current / store.CERTIFICATE).read_text(),
        (current / store.KEY).read_text(),
        str(SpiffeId(TRUST_DOMAIN, DATACENTER, service)),
    )
    return Certificate(leaf, Roots(TRUST_DOMAIN, (current / store.ROOTS).read_text()))


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
