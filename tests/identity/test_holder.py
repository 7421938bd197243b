"""The certificate that a process holds."""

import asyncio
import shutil
from pathlib import Path

import pytest
from aiohttp import web

from mesh.background import background
from mesh.identity import Identity, holder, store
from mesh.identity.holder import Certificate
from mesh.registry import Roots
from tests.eventually import eventually
from tests.identity.test_wire import forged
from tests.mesh.test_registry import agent


async def test_a_renewed_one_that_cannot_be_stored_is_shown_at_once_and_stored_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holder, "_STORE_AGAIN_SECONDS", 0.05)
    old, new = forged(), forged()

    async def answer(request: web.Request) -> web.Response:
        if request.query.get("index"):
            await asyncio.Event().wait()
        told = {"CertPEM": new.chain_pem, "PrivateKeyPEM": new.key_pem, "ServiceURI": new.spiffe_id}
        return web.json_response(told, headers={"X-Consul-Index": "1"})

    directory = tmp_path / "identity"
    identity = Identity(directory, Certificate(old, Roots("one.consul", "roots")))
    shutil.rmtree(directory)
    directory.touch()  # as good as a full disk: no file can be made in it

    async def shown() -> bool:
        return identity.certificate.leaf == new

    async def stored() -> bool:
        current = directory / "current" / store.CERTIFICATE
        return current.exists() and current.read_text() == new.chain_pem

    async with agent(answer) as registry, background(identity.follow_leaf(registry), "leaf"):
        await eventually(shown)
        assert not await stored()
        directory.unlink()
        await eventually(stored)


async def test_work_in_the_background_that_fails_is_told_at_once(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("broken")

    async def told() -> bool:
        return any("work in the background has failed" in line.getMessage() for line in caplog.records)

    with pytest.raises(ValueError, match="broken"):
        async with background(fail(), "work"):
            await eventually(told)
