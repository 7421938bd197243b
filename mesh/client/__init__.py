"""Calling other services.

connection  a channel to a service by its name
bootstrap   where gRPC finds the control planes
outgoing    what happens to a call on its way out
"""

from mesh.client.bootstrap import xds_bootstrap
from mesh.client.connection import connect
from mesh.client.outgoing import client_interceptors

__all__ = ["client_interceptors", "connect", "xds_bootstrap"]
