"""Consul as it is on a bad day: away for hours, hanging, or answering what nobody understands."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import pytest
from aiohttp import web

from mesh.background import background
from mesh.registry import _GOODBYE_SECONDS, _LAST_RETRY_SECONDS, Registration, Registry, _pause, registered
from mesh.testing import AUDIENCE, ISSUER, Issuer
from mesh.token_keys import TokenKeys
from tests.eventually import eventually

Answer = Callable[[web.Request], Awaitable[web.Response]]

INSTANCE = Registration("sales", "sales-1", "127.0.0.1", 1, 2, {})


@asynccontextmanager
async def agent(answer: Answer) -> AsyncIterator[Registry]:
    """A client of a Consul that answers so."""
    server = web.Application()
    server.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(server, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port, *_ = runner.addresses[0]
    try:
        async with Registry(f"http://{host}:{port}") as registry:
            yield registry
    finally:
        await runner.cleanup()


def test_however_long_consul_is_away_it_is_asked_again() -> None:
    assert all(0 < _pause(failures) <= _LAST_RETRY_SECONDS for failures in range(1, 5000))


async def test_a_watcher_outlives_answers_that_make_no_sense() -> None:
    nonsense = iter(
        [
            web.Response(body=b"\xff", headers={"X-Consul-Index": "1"}),
            web.Response(text='{"Roots": null}', headers={"X-Consul-Index": "1"}),
            web.Response(text="[]", headers={"X-Consul-Index": "1"}),
        ]
    )
    sound = '{"TrustDomain": "one.consul", "Roots": [{"Active": true, "ID": "1", "RootCert": "PEM"}]}'

    async def answer(_: web.Request) -> web.Response:
        return next(nonsense, None) or web.Response(text=sound, headers={"X-Consul-Index": "2"})

    async with agent(answer) as registry, aclosing(registry.watch_roots()) as roots, asyncio.timeout(15):  # type: ignore[type-var]
        assert (await anext(roots)).trust_domain == "one.consul"


async def test_keys_that_are_none_are_refused_and_the_good_ones_stay(caplog: pytest.LogCaptureFixture) -> None:
    issuer, other = Issuer(), Issuer()
    bad = [
        b"[" * 100_000,
        b"\xff",
        b"[]",
        b"{}",
        json.dumps({"issuer": 5, "audience": AUDIENCE, "jwks": dict(other.published().jwks)}).encode(),
        json.dumps({"issuer": ISSUER, "audience": AUDIENCE, "jwks": {"keys": [1]}}).encode(),
        json.dumps({"issuer": ISSUER, "audience": AUDIENCE, "jwks": 5}).encode(),
    ]
    values = [issuer.published().to_json().encode(), *bad]
    told = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal told
        if told == len(values):
            await asyncio.Event().wait()
        told += 1
        entry = {"Key": "k", "Value": base64.b64encode(values[told - 1]).decode(), "ModifyIndex": told}
        return web.json_response([entry], headers={"X-Consul-Index": str(told)})

    keys = TokenKeys()
    async with agent(answer) as registry, background(keys.follow(registry), "keys"):

        async def refused() -> bool:
            return sum("token keys refused" in line.getMessage() for line in caplog.records) == len(bad)

        await eventually(refused)
        assert keys.verify(issuer.token()).subject == "tester"


async def test_an_agent_that_hangs_holds_up_no_stop() -> None:
    hanging = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        if "deregister" in request.path:
            await hanging.wait()
        return web.Response(text="{}")

    async with agent(answer) as registry:
        async with registered(registry, INSTANCE):
            start = time.monotonic()
        assert time.monotonic() - start < _GOODBYE_SECONDS + 1
        hanging.set()
