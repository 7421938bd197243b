"""Keys: made once, rotated, published in Consul and kept so."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import httpx
import psutil
import pytest

from mesh.background import background
from mesh.local import running
from mesh.registry import Registry
from mesh.token_keys import KEY, Published, TokenInvalidError, TokenKeys
from services.auth.bootstrap import bootstrap
from services.auth.domain.keys import Rotation
from services.auth.settings import Settings
from services.auth.signing_keys import SigningKeys
from services.auth.store.keys import KeyStore
from services.auth.store.tables import MIGRATIONS, SCHEMA
from services.database import connected
from tests.auth.serving import Clock, Connection, key_id, serving_auth
from tests.eventually import eventually


async def published(registry: Registry) -> list[str]:
    """Ids of the keys in Consul."""
    value = await registry.get(KEY)
    return [key["kid"] for key in Published.from_json(value).jwks["keys"]] if value else []


@pytest.fixture(autouse=True)
async def nothing_published(consul_address: str) -> None:
    await delete_published(consul_address)


async def delete_published(consul_address: str) -> None:
    address = consul_address if "://" in consul_address else f"http://{consul_address}"
    async with httpx.AsyncClient() as http:
        (await http.delete(f"{address}/v1/kv/{KEY}")).raise_for_status()


async def test_replicas_that_start_together_have_one_key_and_any_service_verifies_their_tokens(
    settings: Settings, registry: Registry, connection: Connection
) -> None:
    verifier = TokenKeys()
    async with (
        background(verifier.follow(registry), "verifier"),
        asyncio.timeout(20),
        serving_auth(settings) as one,
        serving_auth(settings) as two,
    ):
        for client in (one, two):
            tokens = await client.log_in()

            async def caller(token: str = tokens.access_token) -> str:
                return str(verifier.verify(token).claims["username"])

            assert await eventually(caller) == "admin"
        assert await one.jwks() == await two.jwks()
    assert await connection.fetchval("SELECT count(*) FROM auth.signing_key") == 1


async def test_a_race_for_the_first_key_has_one_winner(settings: Settings, registry: Registry) -> None:
    ids: list[str] = []
    all_there = asyncio.Barrier(4)

    async def start() -> None:
        async with serving_auth(settings) as client:
            ids.extend(await client.jwks())
            await all_there.wait()

    await asyncio.gather(*(start() for _ in range(4)))
    assert len(ids) == 4
    assert set(ids) == set(await published(registry))
    assert len(set(ids)) == 1


async def test_of_looks_that_race_one_makes_the_key(settings: Settings, registry: Registry) -> None:
    rotation = Rotation(settings.key_rotation, settings.key_grace, settings.access_token_life)
    async with connected(settings.database, schema=SCHEMA, migrations=MIGRATIONS) as schema:
        replicas = [
            SigningKeys(KeyStore(schema), registry, rotation, issuer="https://i", audience="a", clock=Clock())
            for _ in range(4)
        ]
        await asyncio.gather(*(replica.look() for replica in replicas))
    ids = [[key["kid"] for key in replica.jwks()] for replica in replicas]
    assert ids == [await published(registry)] * 4
    assert len(ids[0]) == 1


async def test_a_lost_or_changed_publication_is_put_back(
    settings: Settings, registry: Registry, consul_address: str
) -> None:
    async with serving_auth(settings) as client:
        [mine] = await client.jwks()

        async def put_back() -> bool:
            return await published(registry) == [mine]

        await eventually(put_back)
        await delete_published(consul_address)
        await eventually(put_back)
        await registry.put(KEY, Published(settings.issuer, settings.audience, {"keys": []}).to_json())
        await eventually(put_back)
        value = Published.from_json(await registry.get(KEY) or b"")
        assert (value.issuer, value.audience) == (settings.issuer, settings.audience)


async def test_every_start_publishes(settings: Settings, registry: Registry, consul_address: str) -> None:
    async with bootstrap(settings):
        first = await published(registry)
    await delete_published(consul_address)
    async with bootstrap(settings):
        assert await published(registry) == first


async def test_rotation_leaves_every_live_token_good(settings: Settings, registry: Registry) -> None:
    """Told by starts at different times, the last one now, since those who verify have no clock but today's."""
    rotation, grace = settings.key_rotation, settings.key_grace
    moment = timedelta(minutes=1)

    async with serving_auth(settings, Clock(ahead=-rotation - grace - moment)) as client:
        [old] = await client.jwks()
        assert key_id(await client.log_in()) == old
        assert await published(registry) == [old]

    # The old key's time is up: a new one is published, and signs nothing while not everybody may have it.
    clock = Clock(ahead=-grace - moment)
    async with serving_auth(settings, clock) as client:
        assert list(await client.jwks()) == await published(registry)
        [_, new] = await client.jwks()
        clock.ahead = -2 * moment
        before = await client.log_in()
        assert key_id(before) == old
        clock.ahead = timedelta(0)
        after = await client.log_in()
        assert key_id(after) == new
        for tokens in (before, after):
            assert (await client.verify(tokens, settings)).claims["username"] == "admin"

        clock.ahead = grace + settings.access_token_life
        assert list(await client.jwks()) == [new]

    async with serving_auth(settings, clock):
        assert await published(registry) == [new]


async def test_a_running_replica_rotates_and_the_others_follow(settings: Settings, registry: Registry) -> None:
    clock = Clock()
    soon = replace(settings, key_grace=timedelta(seconds=1))
    async with serving_auth(soon, clock) as one, serving_auth(soon, clock) as two:
        [old] = await one.jwks()
        clock.ahead = settings.key_rotation + timedelta(minutes=1)

        async def rotated() -> list[str]:
            ids = list(await one.jwks())
            assert ids == list(await two.jwks()) == await published(registry)
            return ids if len(ids) == 2 else []

        [kept, new] = await eventually(rotated)
        assert kept == old
        clock.ahead += timedelta(seconds=5)
        assert {key_id(await one.log_in()), key_id(await two.log_in())} == {new}


async def test_a_leaked_key_is_replaced_by_deleting_it(
    settings: Settings, registry: Registry, connection: Connection
) -> None:
    async with serving_auth(replace(settings, key_grace=timedelta(seconds=1))) as client:
        forged = await client.log_in()
        await connection.execute("DELETE FROM auth.signing_key")

        async def replaced() -> bool:
            ids = await published(registry)
            return len(ids) == 1 and ids != [key_id(forged)]

        await eventually(replaced)
        with pytest.raises(TokenInvalidError):
            await client.verify(forged, settings)
        assert await client.verify(await client.log_in(), settings)


async def test_while_consul_does_not_answer_the_old_key_goes_on_and_afterwards_there_is_a_new_one(
    settings: Settings, connection: Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    with running(["consul"]) as stack:
        monkeypatch.setenv("CONSUL_HTTP_ADDR", stack.environment["CONSUL_HTTP_ADDR"])
        [consul] = [
            process
            for process in psutil.process_iter(["cmdline"])
            if f"-config-file={stack.run.path / 'consul.json'}" in (process.info["cmdline"] or ())
        ]
        async with serving_auth(replace(settings, key_grace=timedelta(seconds=1)), clock) as client:
            [old] = await client.jwks()
            consul.suspend()
            try:
                clock.ahead = settings.key_rotation + timedelta(minutes=1)

                async def tried() -> bool:
                    return "trying again" in caplog.text

                await eventually(tried)
                assert list(await client.jwks()) == [old]
                assert key_id(await client.log_in()) == old
                assert await connection.fetchval("SELECT array_agg(key_id) FROM auth.signing_key") == [old]
            finally:
                consul.resume()

            async def rotated() -> bool:
                return len(await client.jwks()) == 2

            await eventually(rotated, timeout=20)


async def test_the_public_keys_are_public_alone(settings: Settings) -> None:
    async with serving_auth(settings) as client:
        [key] = (await client.jwks()).values()
    assert key.keys() == {"kty", "use", "kid", "alg", "crv", "x", "y"}
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig")
    assert all(key.values())
