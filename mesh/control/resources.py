"""What a subscriber of a view can subscribe to, of a snapshot."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from mesh.control import clusters
from mesh.control.packing import ADS, CLUSTER, ENDPOINTS, LISTENER, ROUTE, SECRET, TYPE, Resource, packed
from mesh.control.snapshot import Snapshot
from mesh.control.view import Kind, View

TYPES = (SECRET, CLUSTER, ENDPOINTS, LISTENER, ROUTE)
"""In the order in which a change is sent, so that nothing ever names what its reader has not got."""

Edge = Callable[[Snapshot], Iterable[Resource]]
"""Makes the listeners and routes of the edge of a snapshot."""


@dataclass(frozen=True)
class Resources:
    """All that can be subscribed to: `by_type[type_url][name]`."""

    by_type: Mapping[str, Mapping[str, Resource]]

    @cached_property
    def versions(self) -> Mapping[str, str]:
        """A hash of all resources of a type: control planes that agree give the same."""
        return {
            type_url: hashlib.sha256(
                "".join(f"{name} {found[name].version}\n" for name in sorted(found)).encode()
            ).hexdigest()[:16]
            for type_url, found in self.by_type.items()
        }


def resources(snapshot: Snapshot, view: View, *, edge: Edge | None = None, identity: Path | None = None) -> Resources:
    """Cluster and endpoints of each service and of its subsets under their names, and what leads there.

    For gRPC that is a listener and a route under the service's name (gRFC A27), for Envoy what `edge` makes.
    `identity` is the directory with Envoy's certificate, which it needs where services have identities.
    """
    by_type: dict[str, dict[str, Resource]] = {type_url: {} for type_url in TYPES}
    for each in _all(snapshot, view, edge, identity):
        by_type[each.packed.type_url][each.name] = each
    return Resources(by_type)


def _all(snapshot: Snapshot, view: View, edge: Edge | None, identity: Path | None) -> Iterable[Resource]:
    trust = snapshot.trust
    for target in clusters.targets(snapshot):
        yield clusters.cluster(target.name, view.kind, trust.spiffe_id(target.service) if trust else None)
        yield clusters.endpoints(target.name, target.instances, view.zone)
    if view.kind is Kind.ENVOY:
        yield from clusters.secrets(identity) if identity else ()
        yield from edge(snapshot) if edge else ()
        return
    for service in snapshot.services:
        yield _listener(service)
        yield _route(service, clusters.weights(snapshot, service))


@lru_cache(clusters.REMEMBERED)
def _listener(name: str) -> Resource:
    """What a gRPC client asks for first: no socket, only where its routes are."""
    manager = {
        "@type": TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "rds": {"route_config_name": name, "config_source": ADS},
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": TYPE + "envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    return packed("envoy.config.listener.v3.Listener", {"name": name, "api_listener": {"api_listener": manager}})


@lru_cache(clusters.REMEMBERED)
def _route(name: str, weights: clusters.Weights) -> Resource:
    routes = [{"match": {"prefix": ""}, "route": clusters.destination(weights)}]
    host = {"name": name, "domains": ["*"], "routes": routes}
    return packed("envoy.config.route.v3.RouteConfiguration", {"name": name, "virtual_hosts": [host]})
