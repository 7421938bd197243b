"""What both ends of a connection agree on: sizes, keepalive and age, in this one place.

A server refuses pings that come more often than it was told of, so one end can't be set without the other.
"""

from typing import Any

MESSAGE_BYTES = 4 * 1024 * 1024
"""The largest message a server takes or sends, gRPC's own default."""
ANSWER_BYTES = 64 * 1024 * 1024
"""The largest answer a client takes."""


def server_options(message_bytes: int) -> list[tuple[str, Any]]:
    return [
        ("grpc.max_receive_message_length", message_bytes),
        ("grpc.max_send_message_length", message_bytes),
        ("grpc.so_reuseport", 0),  # a taken port is an error, not a share of it
        # grpcio keeps a header's parse error in its HPACK table, where it fails other callers' requests that came
        # over the same connection, as all do that come through a proxy. No table, no poison.
        ("grpc.http2.hpack_table_size.decoder", 0),
    ]


def channel_options() -> list[tuple[str, Any]]:
    return [("grpc.max_receive_message_length", ANSWER_BYTES)]
