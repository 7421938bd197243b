"""Makes xDS resources of a snapshot. They are written as data, as Envoy's own documentation writes them."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401 - ParseDict finds it by its name
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2,  # noqa: F401
)
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2  # noqa: F401
from google.protobuf import any_pb2, json_format
from google.protobuf.message import Message

from mesh.control.watch import Snapshot
from mesh.registry import Instance

TYPE = "type.googleapis.com/"
LISTENER = TYPE + "envoy.config.listener.v3.Listener"
ROUTE = TYPE + "envoy.config.route.v3.RouteConfiguration"
CLUSTER = TYPE + "envoy.config.cluster.v3.Cluster"
ENDPOINTS = TYPE + "envoy.config.endpoint.v3.ClusterLoadAssignment"
TYPES = (CLUSTER, ENDPOINTS, LISTENER, ROUTE)
"""In the order in which a change is sent, so that nothing ever names what its reader has not got."""

_ADS = {"ads": {}, "resource_api_version": "V3"}

Edge = Callable[[Snapshot], Iterable[Message]]
"""Makes the listeners and routes of the edge of a snapshot."""


@dataclass(frozen=True)
class Resource:
    """One xDS resource, ready to be sent."""

    name: str
    version: str
    """A hash of the content."""
    packed: any_pb2.Any


@dataclass(frozen=True)
class Resources:
    """All that can be subscribed to: `by_type[type_url][name]`."""

    by_type: Mapping[str, Mapping[str, Resource]]
    edge_listeners: frozenset[str]
    """What a subscriber gets who asks for all listeners: Envoy does; a gRPC client asks by name."""

    def all_of(self, type_url: str) -> Iterable[str]:
        return self.edge_listeners if type_url == LISTENER else self.by_type[type_url]


def resources(snapshot: Snapshot, edge: Edge | None = None) -> Resources:
    """Listener, route, cluster and endpoints of each service under the service's name, and those of the edge."""
    by_type: dict[str, dict[str, Resource]] = {type_url: {} for type_url in TYPES}
    for name, instances in snapshot.services.items():
        for message in (_listener(name), _route(name), _cluster(name), _endpoints(name, instances)):
            _add(by_type, message)
    edge_listeners = set()
    for message in edge(snapshot) if edge else ():
        resource = _add(by_type, message)
        if isinstance(message, listener_pb2.Listener):
            edge_listeners.add(resource.name)
    return Resources(by_type, frozenset(edge_listeners))


def _add(by_type: dict[str, dict[str, Resource]], message: Any) -> Resource:
    packed = any_pb2.Any()
    packed.Pack(message, deterministic=True)
    name = message.cluster_name if packed.type_url == ENDPOINTS else message.name
    version = hashlib.sha256(packed.value).hexdigest()[:16]
    resource = by_type[packed.type_url][name] = Resource(name, version, packed)
    return resource


def _listener(name: str) -> Any:
    """What a gRPC client asks for first: no socket, only where its routes are (gRFC A27)."""
    manager = {
        "@type": TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "rds": {"route_config_name": name, "config_source": _ADS},
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": TYPE + "envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    return json_format.ParseDict({"name": name, "api_listener": {"api_listener": manager}}, listener_pb2.Listener())


def _route(name: str) -> Any:
    host = {"name": name, "domains": ["*"], "routes": [{"match": {"prefix": ""}, "route": {"cluster": name}}]}
    return json_format.ParseDict({"name": name, "virtual_hosts": [host]}, route_pb2.RouteConfiguration())


def _cluster(name: str) -> Any:
    """One for both kinds of subscriber; gRPC passes over Envoy's HTTP/2 options."""
    http = {
        "@type": TYPE + "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        # No HPACK table: see mesh/transport.py.
        "explicit_http_config": {"http2_protocol_options": {"hpack_table_size": 0}},
    }
    return json_format.ParseDict(
        {
            "name": name,
            "type": "EDS",
            "eds_cluster_config": {"eds_config": _ADS},
            "lb_policy": "ROUND_ROBIN",
            "connect_timeout": "1s",
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http},
        },
        cluster_pb2.Cluster(),
    )


def _endpoints(name: str, instances: Iterable[Instance]) -> Any:
    """gRPC refuses a group without a locality and one without a weight."""
    found = [
        {"endpoint": {"address": {"socket_address": {"address": each.host, "port_value": each.port}}}}
        for each in instances
    ]
    groups = [{"locality": {"zone": "local"}, "load_balancing_weight": 1, "lb_endpoints": found}] if found else []
    return json_format.ParseDict({"cluster_name": name, "endpoints": groups}, endpoint_pb2.ClusterLoadAssignment())
