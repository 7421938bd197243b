"""`python -m gateway`: what the edge needs beside Envoy: health and reflection of all services, JSON body checks, its
traces.

grpcurl -plaintext EDGE list
grpcurl -plaintext EDGE grpc.health.v1.Health/Check
"""

from contextlib import AsyncExitStack

from grpc_health.v1 import health_pb2

import mesh
from gateway.contracts import services
from gateway.edge import GATEWAY
from gateway.json_bodies import JsonBodies
from gateway.tracing import receiving
from mesh.background import background
from mesh.membership import joined
from mesh.registry import Registry
from mesh.server import Server
from mesh.serving import serve_server


async def main() -> None:
    async with AsyncExitStack() as stack:
        member = await stack.enter_async_context(joined(GATEWAY))
        server = Server(
            JsonBodies(),
            await stack.enter_async_context(receiving()),
            interceptors=member.interceptors(),
            described=sorted(services()),
            require_contract=False,
        )
        for service, name in services().items():
            await stack.enter_async_context(
                background(follow_health(server, member.registry, service, name), f"health-{name}")
            )
        await serve_server(server, member)


async def follow_health(server: Server, registry: Registry, service: str, name: str) -> None:
    """Answers for a service, by its gRPC name and by its mesh name, with whether any instance of it is healthy."""
    async for instances in registry.watch_healthy(name):
        status = health_pb2.HealthCheckResponse.SERVING if instances else health_pb2.HealthCheckResponse.NOT_SERVING
        for answered in (service, name):
            await server.health.set(answered, status)


if __name__ == "__main__":
    mesh.run(main())
