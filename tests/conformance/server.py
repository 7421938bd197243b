"""A server of the suites' services, as the suites want it: bare gRPC, the mesh's with its whole chain, or that behind
an edge.

`python -m tests.conformance.server bare|mesh|edge` reads what is asked of it from standard input and writes where it
is, as connectconformance has it; with `--plain` it serves in clear and writes its port.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import uvloop
from connectrpc.conformance.v1 import server_compat_pb2 as compat  # type: ignore[import-not-found]

from mesh.interceptors import server_chain
from mesh.server import Server
from mesh.token_keys import TokenKeys
from mesh.transport import MESSAGE_BYTES
from tests.conformance import connect, interop
from tests.conformance.edge import edge
from tests.conformance.suites import VARIABLE

Credentials = grpc.ServerCredentials | None


@contextlib.asynccontextmanager
async def bare(credentials: Credentials, message_bytes: int) -> AsyncIterator[int]:
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", message_bytes)])
    connect.rpc.add_ConformanceServiceServicer_to_server(connect.Conformance(), server)
    interop.rpc.add_TestServiceServicer_to_server(interop.Interop(), server)
    address = "127.0.0.1:0"
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    await server.start()
    yield port
    await server.stop(1)


@contextlib.asynccontextmanager
async def meshed(credentials: Credentials, message_bytes: int) -> AsyncIterator[int]:
    chain = server_chain(TokenKeys())
    server = Server(connect.Conformance(), interop.Interop(), interceptors=chain, message_bytes=message_bytes)
    yield await server.start("127.0.0.1", credentials=credentials)
    await server.stop(1)


@contextlib.asynccontextmanager
async def edged(credentials: Credentials, message_bytes: int) -> AsyncIterator[int]:
    async with meshed(credentials, message_bytes) as port, edge(Path(os.environ[VARIABLE]), port) as edge_port:
        yield edge_port


KINDS = {"bare": bare, "mesh": meshed, "edge": edged}


async def main(kind: str, *, plain: bool) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    asked = compat.ServerCompatRequest() if plain else compat.ServerCompatRequest.FromString(_read())
    credentials = _credentials(asked) if asked.use_tls else None
    async with KINDS[kind](credentials, asked.message_receive_limit or MESSAGE_BYTES) as port:
        if plain:
            print(port, flush=True)
        else:
            where = compat.ServerCompatResponse(host="127.0.0.1", port=port, pem_cert=asked.server_creds.cert)
            _write(where.SerializeToString())
        await stopping.wait()


def _credentials(asked: Any) -> grpc.ServerCredentials:
    pair = (asked.server_creds.key, asked.server_creds.cert)
    trusted = asked.client_tls_cert or None
    return grpc.ssl_server_credentials([pair], trusted, require_client_auth=trusted is not None)


def _read() -> bytes:
    (size,) = struct.unpack(">I", sys.stdin.buffer.read(4))
    return sys.stdin.buffer.read(size)


def _write(message: bytes) -> None:
    sys.stdout.buffer.write(struct.pack(">I", len(message)) + message)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--plain", action="store_true")
    options = parser.parse_args()
    uvloop.run(main(options.kind, plain=options.plain))
