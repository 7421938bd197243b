"""What operators may see of a control plane: read only, over HTTP at a port of its own, for `meshctl`."""

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import Any

from aiohttp import web

from mesh.control.ads import Ads, short
from mesh.control.snapshot import Snapshot
from mesh.control.view import Kind, View

META = "admin_port"
"""Where Consul's entry of a control plane holds the port."""


@contextlib.asynccontextmanager
async def inspection(ads: Ads, snapshot: Callable[[], Snapshot | None], host: str) -> AsyncIterator[int]:
    """Answers at a free port of `host`, which it yields.

    GET /                           what it believes, and what each subscriber has taken and refused of it
    GET /resources?kind=&zone=      what a subscriber of this kind (grpc, envoy) in this zone is shown, in full
    """

    async def believed(_: web.Request) -> web.Response:
        known = snapshot()
        content = {"version": known.version, "snapshot": asdict(known)} if known else {"version": None}
        return _json(content | {"subscribers": ads.subscribers()})

    async def shown(request: web.Request) -> web.Response:
        try:
            kind = Kind(request.query.get("kind", Kind.GRPC.value))
        except ValueError:
            raise web.HTTPBadRequest(text="kind is grpc or envoy\n") from None
        resources = ads.current(View(kind, request.query.get("zone", "")))
        return _json(
            {
                short(type_url): {name: found[name].as_json() for name in sorted(found)}
                for type_url, found in resources.by_type.items()
            }
        )

    application = web.Application()
    application.router.add_get("/", believed)
    application.router.add_get("/resources", shown)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, 0).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def _json(content: dict[str, Any]) -> web.Response:
    return web.json_response(content, dumps=lambda value: json.dumps(value, indent=2, sort_keys=True) + "\n")
