"""Calling other services.

connection  a channel to a service by its name
bootstrap   where gRPC finds the control planes
channel     any channel of grpc.aio, with what the mesh adds to its calls
outgoing    what a call brings with it
calls       calls under way, and what happens at their end
destination what is shared by all that call one service
"""

from mesh.client.bootstrap import xds_bootstrap
from mesh.client.channel import MeshChannel
from mesh.client.connection import connect

__all__ = ["MeshChannel", "connect", "xds_bootstrap"]
