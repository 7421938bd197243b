"""The edge's listener and routes, made from the contracts and from what the control plane knows.

The path of a request: health check -> CORS -> gRPC-web -> JSON to protobuf -> JWT -> router. Behind the transcoder a
REST call is the gRPC call that it stands for, so that one rule, keyed by the gRPC path, covers REST, gRPC-web and
gRPC alike.
"""

import base64
import json
import os
import re
from collections.abc import Iterable
from typing import Any

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
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2  # noqa: F401
from envoy.type.matcher.v3 import http_inputs_pb2  # noqa: F401
from google.api import annotations_pb2, httpbody_pb2
from google.protobuf.descriptor import MethodDescriptor

from gateway.contracts import DESCRIPTORS, methods, services
from gateway.json_bodies import PATH
from gateway.replies import local_reply_config
from gateway.tracing import tracing
from mesh import contract
from mesh.control.clusters import destination, weights
from mesh.control.packing import Resource, packed
from mesh.control.snapshot import Snapshot
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
CONTENT_TYPE = r"application/grpc(-web(-text)?)?(\+proto)?(;.*)?"
COMPRESSIONS = ("identity", "deflate", "gzip")
"""What grpcio can read."""
_GRACE_SECONDS = 1.0
"""How much later than a server Envoy ends a call, so that the server's own answer comes first where there is one."""
_RETRIABLE = {"cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"}
"""The codes that Envoy can retry on."""
DEFAULT_ADDRESS = "127.0.0.1:8080"
LOCAL_ORIGINS = r"https?://(localhost|127\.0\.0\.1)(:\d+)?"
"""Web pages that may call by default; EDGE_CORS_ORIGINS holds another regular expression (RE2)."""


def edge(snapshot: Snapshot) -> Iterable[Resource]:
    """The listener on MESH_EDGE_ADDRESS and its routes."""
    host, _, port = os.environ.get("MESH_EDGE_ADDRESS", DEFAULT_ADDRESS).rpartition(":")
    listener = {
        "name": "edge",
        "address": {"socket_address": {"address": host, "port_value": int(port)}},
        "per_connection_buffer_limit_bytes": BODY_BYTES,
        "filter_chains": [{"filters": [{"name": "http", "typed_config": _http_connections(snapshot)}]}],
    }
    yield packed("envoy.config.listener.v3.Listener", listener)
    yield packed(
        "envoy.config.route.v3.RouteConfiguration", {"name": "edge", "virtual_hosts": [_virtual_host(snapshot)]}
    )


def _http_connections(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "@type": TYPE + "network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "edge",
        "codec_type": "AUTO",
        "rds": {"route_config_name": "edge", "config_source": {"ads": {}, "resource_api_version": "V3"}},
        "http_filters": list(_filters(snapshot)),
        "local_reply_config": local_reply_config(method.full_name for method in methods()),
        "use_remote_address": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
        "http2_protocol_options": {"max_concurrent_streams": 100, "hpack_table_size": 0},
        "tracing": tracing(GATEWAY),
        "generate_request_id": True,
        "always_set_request_id_in_response": True,
        "stream_idle_timeout": "3600s",  # a watch may be silent; calls are bounded by their deadlines
        "request_headers_timeout": "10s",
    }


def _filters(snapshot: Snapshot) -> Iterable[dict[str, Any]]:
    yield _filter(
        "health_check",
        "http.health_check.v3.HealthCheck",
        pass_through_mode=False,
        headers=[{"name": ":path", "string_match": {"exact": "/healthz"}}],
        # It tells whether the edge itself can serve: it has its routes, and the mesh behind it answers. A service
        # without an instance is that service's ill health (grpc.health.v1.Health), and no reason to take the edge away.
        cluster_min_healthy_percentages={GATEWAY: {"value": 1}},
    )
    yield _filter("cors", "http.cors.v3.Cors")
    # Ahead of the transcoder, which drops the length: ingest checks that all of an upload has come.
    yield _filter(
        "header_mutation",
        "http.header_mutation.v3.HeaderMutation",
        mutations={
            "request_mutations": [
                {"remove": "x-content-length"},
                {
                    "append": {
                        "header": {"key": "x-content-length", "value": "%REQ(content-length)%"},
                        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                    }
                },
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
        query_param_unescape_plus=True,
        max_request_body_size=BODY_BYTES,
    )
    if snapshot.token_keys is not None:
        yield _jwt(snapshot.token_keys)
    yield _filter("router", "http.router.v3.Router")


def _json_bodies() -> dict[str, Any]:
    """Asks gateway/json_bodies.py, for requests with a JSON body only; without an answer the call goes on.

    What is no upload and no gRPC is JSON to the transcoder whatever its content type says, as curl's default does.
    """
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
    skip = {
        "action": {
            "name": "skip",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.common.matcher.action.v3.SkipFilter"
            },
        }
    }
    passed = [_header("content-type", {"prefix": "application/grpc"})]
    passed += [_header(":path", {"safe_regex": {"google_re2": {}, "regex": regex}}) for regex in _upload_paths()]
    return {
        "name": "json_bodies",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher",
            "extension_config": {"name": "ext_proc", "typed_config": processor},
            "xds_matcher": {
                "matcher_list": {"matchers": [{"predicate": {"single_predicate": p}, "on_match": skip} for p in passed]}
            },
        },
    }


def _header(name: str, match: dict[str, Any]) -> dict[str, Any]:
    matched = {
        "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
        "header_name": name,
    }
    return {"input": {"name": name, "typed_config": matched}, "value_match": match}


def _upload_paths() -> Iterable[str]:
    """Regular expressions of the REST paths whose body is a file as it is, not JSON."""
    for method, binding, template in _bindings():
        body = method.input_type.fields_by_name.get(binding.body)
        if body is not None and body.message_type is httpbody_pb2.HttpBody.DESCRIPTOR:
            yield "[^/]+".join(map(re.escape, re.split(r"{[^}]*}", template))) + r"(\?.*)?"


def _bindings() -> Iterable[tuple[MethodDescriptor, Any, str]]:
    """Each way to call a method over REST, with its path template."""
    for method in methods():
        http = method.GetOptions().Extensions[annotations_pb2.http]
        for binding in (http, *http.additional_bindings):
            if (verb := binding.WhichOneof("pattern")) is not None:
                yield method, binding, getattr(binding, verb)


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
    return (method.path for service in services() for method in contract.methods(service) if not method.permission)


def _virtual_host(snapshot: Snapshot) -> dict[str, Any]:
    routes = [_malformed_timeouts(), *_unknown_encodings()]
    for service, name in sorted(services().items()):
        routes += _routes(service, destination(weights(snapshot, name)))
    routes += [_standard_route(service, {"cluster": GATEWAY}) for service in STANDARD_SERVICES]
    # No REST call goes this way: it is routed anew as the gRPC call that it becomes. CORS needs a route for its policy.
    routes += [{"match": {"prefix": prefix}, "route": {"cluster": GATEWAY}} for prefix in _rest_prefixes()]
    # Not by a direct response, to which Envoy's CORS filter gives no headers: a page must be able to read it.
    routes.append(
        {"match": {"prefix": "/"}, "route": {"cluster": "none", "cluster_not_found_response_code": "NOT_FOUND"}}
    )
    cors = {
        "@type": TYPE + "http.cors.v3.CorsPolicy",
        "allow_origin_string_match": [{"safe_regex": {"regex": os.environ.get("EDGE_CORS_ORIGINS", LOCAL_ORIGINS)}}],
        "allow_methods": "GET, POST, PUT, PATCH, DELETE, OPTIONS",
        "allow_headers": "authorization, content-type, grpc-timeout, x-grpc-web, x-user-agent",
        "expose_headers": "grpc-status, grpc-message, grpc-status-details-bin, x-request-id",
        "max_age": "86400",
    }
    return {"name": "edge", "domains": ["*"], "routes": routes, "typed_per_filter_config": {"cors": cors}}


def _rest_prefixes() -> Iterable[str]:
    return sorted({f"/{template.split('/')[1]}/" for _, _, template in _bindings()})


def _malformed_timeouts() -> dict[str, Any]:
    """Refused here: a server fails such a call as if the fault were its own, and only after a while."""
    return {
        "match": {"prefix": "/", "headers": [_unlike("grpc-timeout", "[0-9]{1,8}[HMSmun]")]},
        "direct_response": _direct(400, "The header grpc-timeout is malformed"),
    }


def _unknown_encodings() -> Iterable[dict[str, Any]]:
    """Messages that no server of ours can read: grpcio would take each for one of its own, or blame itself."""
    codec, compression = _unlike("content-type", CONTENT_TYPE), _unlike("grpc-encoding", "|".join(COMPRESSIONS))
    grpc = {"name": "content-type", "string_match": {"prefix": "application/grpc"}}
    yield {
        "match": {"prefix": "/", "headers": [grpc, codec]},
        "direct_response": _direct(415, "The codec of the messages is unknown"),
    }
    yield {
        "match": {"prefix": "/", "headers": [compression]},
        "direct_response": _direct(501, "The compression of the messages is unknown"),
        "response_headers_to_add": [
            {"header": {"key": "grpc-accept-encoding", "value": ",".join(COMPRESSIONS)}},
        ],
    }


def _unlike(name: str, regex: str) -> dict[str, Any]:
    return {"name": name, "string_match": {"safe_regex": {"regex": regex}}, "invert_match": True}


def _routes(service: str, where: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """First what may be called again, method by method, then the rest of the service.

    A caller's own deadline is kept by the server, and by the caller; Envoy's would fire a little before theirs and
    answer UNAVAILABLE. A call without one, as all of REST, has its contract's, which a server that hangs cannot keep.
    """
    no_deadline = [{"name": "grpc-timeout", "present_match": False}]
    for method in contract.methods(service):
        limit = {"timeout": f"{method.default_deadline_seconds + _GRACE_SECONDS:g}s"}
        again = {"retry_policy": _retry(method)}
        yield {"match": {"path": method.path, "headers": no_deadline}, "route": {**where, **again, **limit}}
        if method.retry_on:
            yield {"match": {"path": method.path}, "route": {**where, **again, "timeout": "0s"}}
    yield _standard_route(service, where)


def _standard_route(service: str, where: dict[str, Any]) -> dict[str, Any]:
    return {"match": {"prefix": f"/{service}/"}, "route": {**where, "retry_policy": _retry(None), "timeout": "0s"}}


def _retry(method: contract.Method | None) -> dict[str, Any]:
    """Of any method what no instance has seen, as a gRPC client does by itself; of one that may be called again also
    what was cut off, and what its contract names. A budget limits them (mesh/control/clusters.py)."""
    named = sorted(code.name.lower().replace("_", "-") for code in method.retry_on) if method else []
    conditions = ["connect-failure", "refused-stream", *(["reset"] if named else []), *_RETRIABLE.intersection(named)]
    return {
        "retry_on": ",".join(conditions),
        "num_retries": 2,
        "retry_host_predicate": [
            {
                "name": "previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                },
            }
        ],
        "host_selection_retry_max_attempts": 3,
    }


def _direct(status: int, message: str) -> dict[str, Any]:
    return {"status": status, "body": {"inline_string": message}}


def _filter(name: str, message: str, **config: Any) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": TYPE + message, **config}}
