"""Where gRPC finds the control planes (gRFC A27)."""

import ipaddress
import uuid
from typing import Any

from mesh.identity import Identity
from mesh.identity.credentials import certificate_providers
from mesh.settings import MeshSettings


def xds_bootstrap(settings: MeshSettings, identity: Identity | None = None) -> dict[str, Any]:
    """Where gRPC finds the control planes (gRFC A27), and the certificate to show (A29).

    Those given by IPv4 address are one server with several addresses: when one is lost, the next address is tried at
    once. Listed as servers (A71), a lost one keeps what it told from changing until it is back, and the next is asked
    only for what is not known yet.
    """
    by_address = [server for server in settings.xds_servers if _is_ipv4(server)]
    by_name = [server for server in settings.xds_servers if server not in by_address]
    targets = ([f"ipv4:{','.join(by_address)}"] if by_address else []) + by_name
    return {
        "xds_servers": [
            {"server_uri": target, "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}
            for target in targets
        ],
        "node": {
            "id": settings.instance
            or f"{identity.spiffe_id.service if identity else 'client'}-{uuid.uuid4().hex[:12]}",
            **({"cluster": identity.spiffe_id.service} if identity else {}),
            **({"locality": {"zone": settings.zone}} if settings.zone else {}),
        },
        **({"certificate_providers": certificate_providers(identity)} if identity else {}),
    }


def _is_ipv4(server: str) -> bool:
    try:
        ipaddress.IPv4Address(server.rpartition(":")[0])
    except ValueError:
        return False
    return True
