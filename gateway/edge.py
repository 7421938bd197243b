"""The edge's listener and routes, made from the contracts and from what the control plane knows.

The path of a request: health check -> CORS -> gRPC-web -> JSON to protobuf -> JWT -> router. Behind the transcoder a
REST call is the gRPC call that it stands for, so that one rule, keyed by the gRPC path, covers REST, gRPC-web and
gRPC alike.
"""

import base64
import json
import os
from collections.abc import Iterable
from typing import Any

from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.access_loggers.filters.cel.v3 import cel_pb2  # noqa: F401 - ParseDict finds these by name
from envoy.extensions.common.matching.v3 import extension_matcher_pb2  # noqa: F401
from envoy.extensions.filters.common.matcher.action.v3 import skip_action_pb2  # noqa: F401
from envoy.extensions.filters.http.cors.v3 import cors_pb2  # noqa: F401
from envoy.extensions.filters.http.ext_proc.v3 import ext_proc_pb2  # noqa: F401
from envoy.extensions.filters.http.grpc_json_transcoder.v3 import transcoder_pb2  # noqa: F401
from envoy.extensions.filters.http.grpc_web.v3 import grpc_web_pb2  # noqa: F401
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2  # noqa: F401
from envoy.extensions.filters.http.health_check.v3 import health_check_pb2  # noqa: F401
from envoy.extensions.filters.http.jwt_authn.v3 import config_pb2  # noqa: F401
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2  # noqa: F401
from envoy.type.matcher.v3 import http_inputs_pb2  # noqa: F401
from google.protobuf import json_format
from google.protobuf.message import Message
from mesh.v1 import options_pb2

from gateway.contracts import DESCRIPTORS, contracts, services
from gateway.json_bodies import PATH
from gateway.replies import local_reply_config
from mesh.control.watch import Snapshot
from mesh.token_keys import Published

TYPE = "type.googleapis.com/envoy.extensions.filters."
GATEWAY = "gateway"
"""The mesh name of the process that answers health and reflection for all services (gateway/__main__.py)."""
STANDARD_SERVICES = (
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
)
BODY_BYTES = 8 * 1024 * 1024
"""The largest JSON body. Uploads are streamed, and limited by ingest."""
DEFAULT_ADDRESS = "127.0.0.1:8080"
LOCAL_ORIGINS = r"https?://(localhost|127\.0\.0\.1)(:\d+)?"
"""Web pages that may call by default; EDGE_CORS_ORIGINS holds another regular expression (RE2)."""


def edge(snapshot: Snapshot) -> Iterable[Message]:
    """The listener on MESH_EDGE_ADDRESS and its routes."""
    host, _, port = os.environ.get("MESH_EDGE_ADDRESS", DEFAULT_ADDRESS).rpartition(":")
    listener = {
        "name": "edge",
        "address": {"socket_address": {"address": host, "port_value": int(port)}},
        "per_connection_buffer_limit_bytes": BODY_BYTES,
        "filter_chains": [{"filters": [{"name": "http", "typed_config": _http_connections(snapshot)}]}],
    }
    yield json_format.ParseDict(listener, listener_pb2.Listener())
    yield json_format.ParseDict({"name": "edge", "virtual_hosts": [_virtual_host()]}, route_pb2.RouteConfiguration())


def _http_connections(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "@type": TYPE + "network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "edge",
        "codec_type": "AUTO",
        "rds": {"route_config_name": "edge", "config_source": {"ads": {}, "resource_api_version": "V3"}},
        "http_filters": list(_filters(snapshot)),
        "local_reply_config": local_reply_config(),
        "use_remote_address": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
        "http2_protocol_options": {"max_concurrent_streams": 100, "hpack_table_size": 0},
        "generate_request_id": True,
        "stream_idle_timeout": "3600s",  # a watch may be silent; calls are bounded by their deadlines
        "request_headers_timeout": "10s",
    }


def _filters(snapshot: Snapshot) -> Iterable[dict[str, Any]]:
    yield _filter(
        "health_check",
        "http.health_check.v3.HealthCheck",
        pass_through_mode=False,
        headers=[{"name": ":path", "string_match": {"exact": "/healthz"}}],
        cluster_min_healthy_percentages={name: {"value": 1} for name in sorted(set(services().values()))},
    )
    yield _filter("cors", "http.cors.v3.Cors")
    # Ahead of the transcoder, which drops the length: ingest checks that all of an upload has come.
    yield _filter(
        "header_mutation",
        "http.header_mutation.v3.HeaderMutation",
        mutations={
            "request_mutations": [
                {
                    "append": {
                        "header": {"key": "x-content-length", "value": "%REQ(content-length)%"},
                        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                    }
                }
            ]
        },
    )
    yield _filter("grpc_web", "http.grpc_web.v3.GrpcWeb")
    yield _json_bodies()
    yield _filter(
        "grpc_json_transcoder",
        "http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        proto_descriptor_bin=base64.b64encode(DESCRIPTORS.read_bytes()).decode(),
        services=sorted(services()),
        convert_grpc_status=True,
        request_validation_options={
            "reject_unknown_method": True,
            "reject_unknown_query_parameters": True,
            "reject_binding_body_field_collisions": True,
        },
        print_options={"always_print_primitive_fields": True, "stream_newline_delimited": True},
        max_request_body_size=BODY_BYTES,
    )
    if snapshot.token_keys is not None:
        yield _jwt(snapshot.token_keys)
    yield _filter("router", "http.router.v3.Router")


def _json_bodies() -> dict[str, Any]:
    """Asks gateway/json_bodies.py, for requests with a JSON body only; without an answer the call goes on."""
    processor = {
        "@type": TYPE + "http.ext_proc.v3.ExternalProcessor",
        "grpc_service": {"envoy_grpc": {"cluster_name": GATEWAY}, "timeout": "1s"},
        "failure_mode_allow": True,
        "message_timeout": "1s",
        "request_attributes": [PATH],
        "processing_mode": {
            "request_header_mode": "SKIP",
            "request_body_mode": "BUFFERED",
            "response_header_mode": "SKIP",
            "response_body_mode": "NONE",
        },
    }
    content_type = {
        "name": "content-type",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
            "header_name": "content-type",
        },
    }
    skip = {
        "action": {
            "name": "skip",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.common.matcher.action.v3.SkipFilter"
            },
        }
    }
    not_json = {
        "not_matcher": {"single_predicate": {"input": content_type, "value_match": {"prefix": "application/json"}}}
    }
    return {
        "name": "json_bodies",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher",
            "extension_config": {"name": "ext_proc", "typed_config": processor},
            "xds_matcher": {"matcher_list": {"matchers": [{"predicate": not_json, "on_match": skip}]}},
        },
    }


def _jwt(published: Published) -> dict[str, Any]:
    """Turns away tokens that are not ours before they cost a service anything.

    A call without a token passes: the service knows whether its method needs one, and says so with its details.
    """
    provider = {
        "issuer": published.issuer,
        "audiences": [published.audience],
        "local_jwks": {"inline_string": json.dumps(dict(published.jwks))},
        "forward": True,
        "jwt_cache_config": {"jwt_cache_size": 1000},
        "clock_skew_seconds": 0,
    }
    ours_or_none = {"requires_any": {"requirements": [{"provider_name": "mesh"}, {"allow_missing": {}}]}}
    return _filter(
        "jwt_authn",
        "http.jwt_authn.v3.JwtAuthentication",
        providers={"mesh": provider},
        rules=[
            *({"match": {"path": path}} for path in _public_paths()),
            {"match": {"prefix": "/"}, "requires": ours_or_none},
        ],
    )


def _public_paths() -> Iterable[str]:
    for file in contracts().file:
        for service in file.service:
            for method in service.method:
                if method.options.Extensions[options_pb2.policy].public:
                    yield f"/{file.package}.{service.name}/{method.name}"


def _virtual_host() -> dict[str, Any]:
    routes = [_route(service, name) for service, name in sorted(services().items())]
    routes += [_route(service, GATEWAY) for service in STANDARD_SERVICES]
    cors = {
        "@type": TYPE + "http.cors.v3.CorsPolicy",
        "allow_origin_string_match": [{"safe_regex": {"regex": os.environ.get("EDGE_CORS_ORIGINS", LOCAL_ORIGINS)}}],
        "allow_methods": "GET, POST, PUT, PATCH, DELETE, OPTIONS",
        "allow_headers": "authorization, content-type, grpc-timeout, x-grpc-web, x-user-agent",
        "expose_headers": "grpc-status, grpc-message, grpc-status-details-bin",
        "max_age": "86400",
    }
    return {"name": "edge", "domains": ["*"], "routes": routes, "typed_per_filter_config": {"cors": cors}}


def _route(service: str, cluster: str) -> dict[str, Any]:
    """No time-out here: the contract's deadline ends a call at its server, with a canonical status."""
    return {"match": {"prefix": f"/{service}/"}, "route": {"cluster": cluster, "timeout": "0s"}}


def _filter(name: str, message: str, **config: Any) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": TYPE + message, **config}}
