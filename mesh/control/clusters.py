"""Clusters and their endpoints: whom a caller reaches, how it knows them, and when it gives one of them up."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mesh.control.packing import ADS, TYPE, Resource, packed
from mesh.control.snapshot import Share, Snapshot
from mesh.control.view import Kind
from mesh.registry import Instance

REMEMBERED = 4096
"""Resources that are the same in the next snapshot are not made again."""
_NO_ZONE = "local"

PROVIDER = "mesh"
"""The certificate provider in the bootstrap of a gRPC client (gRFC A29)."""
IDENTITY, ROOTS = "identity", "roots"
"""The secrets of Envoy."""

_OUTLIERS = {
    "interval": "1s",
    "base_ejection_time": "5s",
    "max_ejection_time": "30s",
    "max_ejection_percent": 50,
    # An instance that fails nearly all. gRPC (A50) counts every status but OK, so that callers who ask for what is not
    # there look like failures of all instances alike: hence high, and never more than half of them.
    "failure_percentage_threshold": 90,
    "enforcing_failure_percentage": 100,
    "failure_percentage_minimum_hosts": 2,
    "failure_percentage_request_volume": 10,
    # One that is worse than its peers. With few of them this says nothing.
    "enforcing_success_rate": 100,
    "success_rate_minimum_hosts": 5,
    "success_rate_request_volume": 50,
    "success_rate_stdev_factor": 1900,
    # Envoy alone knows what is in a row. Of all 5xx some are a caller's doing, UNIMPLEMENTED for one.
    "consecutive_gateway_failure": 5,
    "enforcing_consecutive_gateway_failure": 100,
    "consecutive_5xx": 20,
}
_LIMITS = {
    "thresholds": [
        {
            "max_requests": 1024,
            "max_pending_requests": 1024,
            "retry_budget": {"budget_percent": {"value": 20}, "min_retry_concurrency": 3},
        }
    ]
}
"""Of calls under way to a cluster (gRFC A32) and, in Envoy, of those that are retries."""

_ENVOY_HTTP = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": TYPE + "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {
            "http2_protocol_options": {
                "hpack_table_size": 0,  # see mesh/transport.py
                # An instance that hangs answers no ping; its connections are given up and its calls fail or move on.
                "connection_keepalive": {"interval": "2s", "timeout": "2s"},
            }
        },
    }
}


@dataclass(frozen=True)
class Target:
    """A cluster to be: a service, or those of its instances that are of one version."""

    name: str
    service: str
    instances: tuple[Instance, ...]


def subset(service: str, name: str) -> str:
    """The name of the cluster of a subset."""
    return f"{service}/{name}"


def targets(snapshot: Snapshot) -> Iterator[Target]:
    """Subsets have a cluster whether or not a split names them: changing a split takes no cluster from anyone."""
    for service, instances in snapshot.services.items():
        yield Target(service, service, instances)
        for name, version in snapshot.subsets.get(service, {}).items():
            those = tuple(each for each in instances if dict(each.meta).get("version") == version)
            yield Target(subset(service, name), service, those)


Weights = tuple[tuple[str, int], ...]
"""Clusters, and how much each gets of what they get together."""


def weights(snapshot: Snapshot, service: str) -> Weights:
    """How the calls of a service are divided. What a subset without instances would have got, the others get."""
    if service not in snapshot.splits:
        return ((service, 1),)
    alive = {target.name for target in targets(snapshot) if target.instances}
    found = [(_of(service, share), share.weight) for share in snapshot.splits[service] if share.weight]
    return tuple((name, weight) for name, weight in found if name in alive) or ((service, 1),)


def _of(service: str, share: Share) -> str:
    return subset(service, share.subset) if share.subset else service


def destination(weights: Weights) -> dict[str, Any]:
    """The part of a route that says where its calls go."""
    if len(weights) == 1:
        return {"cluster": weights[0][0]}
    return {"weighted_clusters": {"clusters": [{"name": name, "weight": weight} for name, weight in weights]}}


@lru_cache(REMEMBERED)
def cluster(name: str, kind: Kind, spiffe_id: str | None) -> Resource:
    """`spiffe_id` is the only one that is believed of its instances; None: the cluster is in clear."""
    found = {
        "name": name,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": ADS},
        "lb_policy": "ROUND_ROBIN",
        "connect_timeout": "1s",
        "outlier_detection": _OUTLIERS,
        "circuit_breakers": _LIMITS,
    }
    if kind is Kind.ENVOY:
        found["typed_extension_protocol_options"] = _ENVOY_HTTP
    if spiffe_id is not None:
        found["transport_socket"] = _tls(_envoy_tls(spiffe_id) if kind is Kind.ENVOY else _grpc_tls(spiffe_id))
    return packed("envoy.config.cluster.v3.Cluster", found)


def _tls(common: dict[str, Any]) -> dict[str, Any]:
    context = {
        "@type": TYPE + "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": common,
    }
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _grpc_tls(spiffe_id: str) -> dict[str, Any]:
    """The deprecated field is the one that every gRPC knows, in C, Go and Java."""
    return {
        "tls_certificate_provider_instance": {"instance_name": PROVIDER},
        "validation_context": {
            "ca_certificate_provider_instance": {"instance_name": PROVIDER},
            "match_subject_alt_names": [{"exact": spiffe_id}],
        },
    }


def _envoy_tls(spiffe_id: str) -> dict[str, Any]:
    return {
        "tls_certificate_sds_secret_configs": [{"name": IDENTITY, "sds_config": ADS}],
        "combined_validation_context": {
            "default_validation_context": {
                "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": spiffe_id}}]
            },
            "validation_context_sds_secret_config": {"name": ROOTS, "sds_config": ADS},
        },
        "alpn_protocols": ["h2"],
    }


def secrets(directory: Path) -> Iterator[Resource]:
    """Envoy's identity, as the names of the files that hold it: no key ever travels.

    Envoy reads them again when something in `directory` is moved, as its `current` is (mesh/identity/store.py).
    """
    current, watched = directory / "current", {"path": str(directory)}
    certificate = {
        "certificate_chain": {"filename": str(current / "cert.pem")},
        "private_key": {"filename": str(current / "key.pem")},
        "watched_directory": watched,
    }
    roots = {"trusted_ca": {"filename": str(current / "roots.pem")}, "watched_directory": watched}
    message = "envoy.extensions.transport_sockets.tls.v3.Secret"
    yield packed(message, {"name": IDENTITY, "tls_certificate": certificate})
    yield packed(message, {"name": ROOTS, "validation_context": roots})


@lru_cache(REMEMBERED)
def endpoints(name: str, instances: tuple[Instance, ...], zone: str) -> Resource:
    """The subscriber's zone first, the others while that has no instance that works; without a zone all alike.

    gRPC refuses a group without a locality, one without a weight, and a gap between priorities.
    """
    zones: dict[str, list[Instance]] = defaultdict(list)
    for each in instances:
        zones[dict(each.meta).get("zone", "")].append(each)
    home = bool(zone) and zone in zones
    groups = [
        {
            "locality": {"zone": where or _NO_ZONE},
            "priority": int(home and where != zone),
            "load_balancing_weight": len(those),
            "lb_endpoints": [
                {"endpoint": {"address": {"socket_address": {"address": each.host, "port_value": each.port}}}}
                for each in those
            ],
        }
        for where, those in sorted(zones.items())
    ]
    return packed("envoy.config.endpoint.v3.ClusterLoadAssignment", {"cluster_name": name, "endpoints": groups})
