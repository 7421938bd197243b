"""What both ends of a connection agree on: sizes, keepalive and age, in this one place.

A server refuses pings that come more often than it was told of, so one end can't be set without the other.
"""

from typing import Any

MESSAGE_BYTES = 4 * 1024 * 1024
"""The largest message a server takes, gRPC's own default. What it may send has no limit but its client's."""
ANSWER_BYTES = 64 * 1024 * 1024
"""The largest answer a client takes."""
METADATA_BYTES = 16 * 1024
"""The largest headers or trailers either end takes."""
CONCURRENT_STREAMS = 1000
"""Calls at a time on one connection; those of a client that knows the rule wait on its side."""

CLIENT_PING_SECONDS = 1.0
"""How long a client lets a server with calls under way be silent before it pings it.

An instance that hangs, with its connections held up by its kernel, is found out after this and PONG_SECONDS; its calls
fail UNAVAILABLE and can be made elsewhere.
"""
SERVER_PING_SECONDS = 20.0
"""The same of a server, for which a client that hangs is no more than memory."""
PONG_SECONDS = 1.5
"""How long the answer to a ping may take."""
CONNECTION_AGE_SECONDS = 10 * 60.0
"""When a server asks a client to connect anew, 10 % more or less by gRPC's own jitter.

So calls spread over instances that came later, and peers show their certificate again, which lives longer than that.
New calls take the new connection; none is lost by it.
"""
LAST_CALLS_SECONDS = 3600.0
"""How long calls under way, such as watching streams, may go on over the old connection.

As long as the longest deadline that a contract may reasonably give: an idle old connection closes at once, one with
a stream costs nothing but its socket, and to cut the stream would show as a failure.
"""


def server_options(message_bytes: int) -> list[tuple[str, Any]]:
    return [
        ("grpc.max_receive_message_length", message_bytes),
        ("grpc.so_reuseport", 0),  # a taken port is an error, not a share of it
        # grpcio keeps a header's parse error in its HPACK table, where it fails other callers' requests that came
        # over the same connection, as all do that come through a proxy. No table, no poison.
        ("grpc.http2.hpack_table_size.decoder", 0),
        ("grpc.max_concurrent_streams", CONCURRENT_STREAMS),
        *_metadata(),
        *_pings(SERVER_PING_SECONDS, idle=True),  # an edge pings at all times
        ("grpc.http2.min_ping_interval_without_data_ms", _milliseconds(CLIENT_PING_SECONDS / 2)),
        ("grpc.max_connection_age_ms", _milliseconds(CONNECTION_AGE_SECONDS)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(LAST_CALLS_SECONDS)),
    ]


def channel_options() -> list[tuple[str, Any]]:
    return [
        ("grpc.max_receive_message_length", ANSWER_BYTES),
        *_metadata(),
        *_pings(CLIENT_PING_SECONDS, idle=False),
        ("grpc.http2.max_pings_without_data", 0),  # any number, while a call waits
        ("grpc.enable_http_proxy", 0),  # which a machine may have for the world outside
    ]


def _metadata() -> list[tuple[str, Any]]:
    # Between its two limits gRPC refuses at random; with one it is the same each time.
    return [("grpc.max_metadata_size", METADATA_BYTES), ("grpc.absolute_max_metadata_size", METADATA_BYTES)]


def _pings(seconds: float, *, idle: bool) -> list[tuple[str, Any]]:
    return [
        ("grpc.keepalive_time_ms", _milliseconds(seconds)),
        ("grpc.keepalive_timeout_ms", _milliseconds(PONG_SECONDS)),
        ("grpc.http2.ping_timeout_ms", _milliseconds(PONG_SECONDS)),  # the one that counts; it is 60 s by default
        ("grpc.keepalive_permit_without_calls", int(idle)),
    ]


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
