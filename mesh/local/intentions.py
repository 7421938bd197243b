"""Who may call whom, as mesh.toml declares it, becomes Consul's intentions."""

import asyncio
from collections.abc import Mapping

from mesh.local.errors import LocalError


def declare_intentions(consul_url: str, declared: Mapping[str, Mapping[str, tuple[str, ...]]]) -> None:
    """Writes them; those of destinations that are not declared stay. Raises LocalError."""
    from mesh.intentions import declare  # noqa: PLC0415 - only a start pays for Consul's client
    from mesh.registry import Registry, RegistryError  # noqa: PLC0415

    async def write() -> None:
        async with Registry(consul_url if "://" in consul_url else f"http://{consul_url}") as registry:
            await declare(registry, declared)

    try:
        asyncio.run(write())
    except (RegistryError, ValueError) as problem:
        raise LocalError(f"intentions of mesh.toml: {problem}") from problem
