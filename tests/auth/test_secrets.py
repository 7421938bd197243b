"""What must never be in a log."""

import logging
from datetime import timedelta

import asyncpg
import pytest

from services.auth.access_tokens import AccessToken
from services.auth.auth import Grant
from services.auth.domain.session import RefreshToken
from services.auth.settings import Settings
from tests.auth.serving import ADA_PASSWORD, ADMIN_PASSWORD, refused, serving_auth

WRONG = "a password that is wrong"


async def test_no_log_line_of_any_flow_holds_a_secret(
    settings: Settings, caplog: pytest.LogCaptureFixture, database: str
) -> None:
    caplog.set_level(logging.DEBUG)
    asked: list[str] = []
    async with serving_auth(settings) as client:
        tokens = await client.log_in()
        await client.create("ada")
        await refused(client.create("ada"))
        ada = await client.log_in("ada", ADA_PASSWORD)
        successor = await client.refresh(tokens)
        await refused(client.refresh(tokens))
        await refused(client.refresh(successor))
        await refused(client.log_in("ada", WRONG))
        await refused(client.log_in("nobody", WRONG))
        asked += [tokens.refresh_token, successor.refresh_token, ada.refresh_token]
        asked += [tokens.access_token, successor.access_token, ada.access_token]
    # A defect is logged with its trace and its cause.
    connection = await asyncpg.connect(database)
    await connection.execute("ALTER TABLE auth.refresh_token RENAME TO elsewhere")
    hashes = [row["password_hash"] for row in await connection.fetch("SELECT password_hash FROM auth.user")]
    keys = [row["private_key"] for row in await connection.fetch("SELECT private_key FROM auth.signing_key")]
    async with serving_auth(settings) as client:
        assert (await refused(client.log_in())).code == "INTERNAL"
        assert (await refused(client.refresh(ada))).code == "INTERNAL"
    await connection.close()

    secrets = [ADMIN_PASSWORD, ADA_PASSWORD, WRONG, *asked, *hashes]
    secrets += [token.rpartition(".")[2] for token in asked]
    secrets += [RefreshToken(token).digest.hex() for token in asked] + [key.hex() for key in keys]
    assert len(hashes) == 2
    assert len(keys) == 1
    assert "UndefinedTable" in caplog.text
    assert "login refused" in caplog.text
    assert "refresh token reused" in caplog.text
    assert [secret for secret in secrets if secret in caplog.text] == []


async def test_a_refused_login_and_a_reused_token_leave_a_line(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving_auth(settings) as client:
        await refused(client.log_in("nobody", WRONG))
        tokens = await client.log_in()
        await client.refresh(tokens)
        await refused(client.refresh(tokens))
    lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    [login] = [line for line in lines if line["event"] == "login refused"]
    assert login["username"] == "nobody"
    [reuse] = [line for line in lines if line["event"].startswith("refresh token reused")]
    assert (reuse["username"], len(reuse["session_id"])) == ("admin", 36)


def test_nothing_that_holds_a_secret_shows_it() -> None:
    access = AccessToken("eyJ.secret.x", timedelta(minutes=15), "sales.read")
    assert "secret" not in repr(Grant(access, RefreshToken("secret")))
