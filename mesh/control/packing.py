"""xDS resources, written as data, as Envoy's own documentation writes them."""

import hashlib
from dataclasses import dataclass
from typing import Any

from envoy.config.cluster.v3 import cluster_pb2  # noqa: F401 - messages are found by their names
from envoy.config.endpoint.v3 import endpoint_pb2  # noqa: F401
from envoy.config.listener.v3 import listener_pb2  # noqa: F401
from envoy.config.route.v3 import route_pb2  # noqa: F401
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2,  # noqa: F401
)
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_pb2  # noqa: F401
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2  # noqa: F401
from google.protobuf import any_pb2, descriptor_pool, json_format, message_factory

TYPE = "type.googleapis.com/"
LISTENER = TYPE + "envoy.config.listener.v3.Listener"
ROUTE = TYPE + "envoy.config.route.v3.RouteConfiguration"
CLUSTER = TYPE + "envoy.config.cluster.v3.Cluster"
ENDPOINTS = TYPE + "envoy.config.endpoint.v3.ClusterLoadAssignment"
SECRET = TYPE + "envoy.extensions.transport_sockets.tls.v3.Secret"

ADS = {"ads": {}, "resource_api_version": "V3"}


@dataclass(frozen=True)
class Resource:
    """One xDS resource, ready to be sent."""

    name: str
    version: str
    """A hash of the content."""
    packed: any_pb2.Any

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = json_format.MessageToDict(self.packed, preserving_proto_field_name=True)
        return found


def packed(message: str, content: dict[str, Any]) -> Resource:
    """The resource that `content` is, for example of `envoy.config.cluster.v3.Cluster`. Raises ParseError."""
    made = message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(message))()
    json_format.ParseDict(content, made)
    wrapped = any_pb2.Any()
    wrapped.Pack(made, deterministic=True)
    name = content["cluster_name"] if wrapped.type_url == ENDPOINTS else content["name"]
    return Resource(name, hashlib.sha256(wrapped.value).hexdigest()[:16], wrapped)
