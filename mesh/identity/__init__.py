"""Who a process is in the mesh: a SPIFFE certificate of Consul's Connect CA, renewed while serving.

spiffe       names of workloads
store        the certificate as files, replaced all at once
holder       the certificate of this process, kept fresh
credentials  what gRPC makes of it
"""

from mesh.identity.credentials import server_credentials
from mesh.identity.holder import Identity, held, kept
from mesh.identity.spiffe import SpiffeId

__all__ = ["Identity", "SpiffeId", "held", "kept", "server_credentials"]
