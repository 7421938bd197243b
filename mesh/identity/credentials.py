"""What gRPC makes of an identity."""

from typing import Any

import grpc

from mesh.identity import store
from mesh.identity.holder import Certificate, Identity

PROVIDER = "mesh"
"""The certificate provider that the control plane's clusters name (gRFC A29)."""
_REFRESH = "1s"


def server_credentials(identity: Identity) -> grpc.ServerCredentials:
    """Show the certificate that is current at each handshake, and ask the client for one of the same CA."""
    shown: list[Certificate] = [identity.certificate]

    def renewed() -> Any:
        if shown[0] is identity.certificate:
            return None
        shown[0] = identity.certificate
        return _configuration(shown[0])

    return grpc.dynamic_ssl_server_credentials(_configuration(shown[0]), renewed, require_client_authentication=True)


def _configuration(certificate: Certificate) -> Any:
    leaf = certificate.leaf
    pair = (leaf.key_pem.encode(), leaf.chain_pem.encode())
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=certificate.roots.pem.encode())


def certificate_providers(identity: Identity) -> dict[str, Any]:
    """The entry of an xDS bootstrap by which a client shows the identity and checks servers."""
    current = identity.directory / "current"
    files = {
        "certificate_file": str(current / store.CERTIFICATE),
        "private_key_file": str(current / store.KEY),
        "ca_certificate_file": str(current / store.ROOTS),
        "refresh_interval": _REFRESH,
    }
    return {PROVIDER: {"plugin_name": "file_watcher", "config": files}}


def channel_credentials() -> grpc.ChannelCredentials:
    """As the control plane says: with the identity of the bootstrap. A cluster without TLS is never taken in clear."""
    return grpc.xds_channel_credentials(grpc.ssl_channel_credentials())
