"""auth through its real server: logins, refreshes, users, and every way to be refused."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from retail.auth.v1 import auth_service_pb2 as messages
from retail.auth.v1.auth_service_pb2_grpc import AuthServiceStub

from mesh.error import Described, from_rpc_error
from mesh.local import running
from mesh.settings import SettingsError
from mesh.testing import serving
from services.auth.bootstrap import bootstrap
from services.auth.domain.roles import PERMISSIONS, Role
from services.auth.settings import Settings
from services.database import DatabaseSettings
from tests.auth.serving import ADA_PASSWORD, ADMIN_PASSWORD, Client, Clock, Connection, refused, serving_auth
from tests.eventually import eventually

CREDENTIALS_INVALID = Described(
    "UNAUTHENTICATED", "The user name or the password is wrong", "CREDENTIALS_INVALID", "retail.auth.v1"
)
REFRESH_TOKEN_INVALID = Described(
    "UNAUTHENTICATED", "The refresh token is not valid: log in again", "REFRESH_TOKEN_INVALID", "retail.auth.v1"
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(settings: Settings, clock: Clock) -> AsyncIterator[Client]:
    async with serving_auth(settings, clock) as client:
        yield client


async def outcomes(*calls: Any) -> tuple[list[Any], list[Described]]:
    """What came of calls made at the same time: the answers, and why the others were refused."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    failures = [from_rpc_error(result) for result in results if isinstance(result, grpc.RpcError)]
    answers = [result for result in results if not isinstance(result, BaseException)]
    assert len(answers) + len(failures) == len(calls)
    return answers, failures


async def test_a_login_gives_a_token_that_says_who_and_what(client: Client, settings: Settings) -> None:
    ada = await client.create("ada", messages.ROLE_ANALYST, messages.ROLE_API)
    before = int(time.time())
    tokens = await client.log_in("ada", ADA_PASSWORD)
    caller = await client.verify(tokens, settings)

    assert (tokens.token_type, tokens.expires_in.ToTimedelta()) == ("Bearer", settings.access_token_life)
    assert caller.subject == ada.user_id
    assert caller.permissions == PERMISSIONS[Role.ANALYST] | PERMISSIONS[Role.API]
    assert tokens.scope == caller.claims["scope"] == " ".join(sorted(caller.permissions))
    assert (caller.claims["iss"], caller.claims["aud"]) == (settings.issuer, settings.audience)
    assert (caller.claims["username"], caller.claims["roles"]) == ("ada", ["analyst", "api"])
    assert before <= caller.claims["iat"] <= time.time()
    assert caller.claims["exp"] - caller.claims["iat"] == 15 * 60
    assert caller.claims["jti"] != (await client.verify(await client.refresh(tokens), settings)).claims["jti"]


async def test_a_created_user_is_as_the_contract_has_it(client: Client) -> None:
    user = await client.create("grace@example.com", messages.ROLE_VIEWER)
    assert len(user.user_id) == 36
    assert (user.username, list(user.roles)) == ("grace@example.com", [messages.ROLE_VIEWER])
    assert abs(user.create_time.ToDatetime(UTC) - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("admin", ADMIN_PASSWORD + "x"),
        ("admin", "\0"),
        ("Admin", ADMIN_PASSWORD),
        ("nobody", ADMIN_PASSWORD),
        ("no\0body", ADMIN_PASSWORD),
        ("admin' OR 'a' = 'a", ADMIN_PASSWORD),
    ],
)
async def test_a_wrong_name_and_a_wrong_password_are_refused_alike(
    client: Client, username: str, password: str
) -> None:
    assert await refused(client.log_in(username, password)) == CREDENTIALS_INVALID


async def test_a_wrong_name_takes_as_long_as_a_wrong_password(settings: Settings) -> None:
    seconds: dict[str, list[float]] = {"admin": [], "nobody": []}
    async with serving_auth(replace(settings, bcrypt_cost=10)) as client:  # some 60 ms, most of a call
        for _ in range(6):
            for username, taken in seconds.items():
                began = time.perf_counter()
                await refused(client.log_in(username, "a wrong password"))
                taken.append(time.perf_counter() - began)
    known, unknown = (min(taken) for taken in seconds.values())  # what was not disturbed
    assert 0.7 < unknown / known < 1.4


async def test_others_are_answered_while_a_password_is_hashed(settings: Settings) -> None:
    async with serving_auth(replace(settings, bcrypt_cost=13)) as client:
        login = asyncio.create_task(client.log_in())
        for _ in range(5):
            assert await client.jwks()
        assert not login.done()
        await login


async def test_a_password_is_hashed_anew_at_the_next_login_once_the_cost_has_changed(
    settings: Settings, connection: Connection
) -> None:
    async def cost() -> str:
        return str(await connection.fetchval("SELECT split_part(password_hash, '$', 3) FROM auth.user"))

    async with serving_auth(settings):
        assert await cost() == "04"
    async with serving_auth(replace(settings, bcrypt_cost=5)) as client:
        assert await refused(client.log_in("admin", "a wrong password")) == CREDENTIALS_INVALID
        assert await cost() == "04"
        await client.log_in()
        assert await cost() == "05"
        await client.log_in()


async def test_a_session_goes_on_from_token_to_token(client: Client, settings: Settings) -> None:
    tokens = await client.log_in()
    seen = {tokens.refresh_token}
    for _ in range(3):
        tokens = await client.refresh(tokens)
        assert tokens.refresh_token not in seen
        seen.add(tokens.refresh_token)
        assert (await client.verify(tokens, settings)).claims["username"] == "admin"


async def test_a_token_that_comes_twice_ends_its_session_and_no_other(client: Client) -> None:
    stolen, other = await client.log_in(), await client.log_in()
    successor = await client.refresh(stolen)
    assert await refused(client.refresh(stolen)) == REFRESH_TOKEN_INVALID
    assert await refused(client.refresh(successor)) == REFRESH_TOKEN_INVALID
    assert await client.refresh(other)


async def test_of_refreshes_that_race_with_one_token_one_wins(client: Client) -> None:
    for _ in range(5):
        tokens = await client.log_in()
        answers, failures = await outcomes(*(client.refresh(tokens) for _ in range(8)))
        assert failures == [REFRESH_TOKEN_INVALID] * 7
        [winner] = answers
        assert await refused(client.refresh(winner)) == REFRESH_TOKEN_INVALID  # who the thief was is not known


async def test_a_refresh_waits_for_whoever_is_ending_its_session(client: Client, connection: Connection) -> None:
    tokens = await client.log_in()
    async with connection.transaction():
        await connection.execute("UPDATE auth.session SET end_time = now()")
        refresh = asyncio.create_task(refused(client.refresh(tokens)))

        async def waits() -> bool:
            return bool(await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted")) or refresh.done()

        await eventually(waits)
        assert not refresh.done()
    assert await refresh == REFRESH_TOKEN_INVALID


async def test_no_refresh_moves_the_end_of_a_session(client: Client, clock: Clock, settings: Settings) -> None:
    tokens = await client.log_in()
    clock.ahead = settings.session_life - timedelta(minutes=1)
    tokens = await client.refresh(tokens)
    clock.ahead += timedelta(minutes=2)
    assert await refused(client.refresh(tokens)) == REFRESH_TOKEN_INVALID


@pytest.mark.parametrize("token", ["unknown", "\0", "x" * 512, "ключ"])
async def test_an_unknown_refresh_token_is_refused(client: Client, token: str) -> None:
    assert await refused(client.refresh(messages.Tokens(refresh_token=token))) == REFRESH_TOKEN_INVALID


async def test_a_refreshed_token_has_the_roles_of_now(
    client: Client, settings: Settings, connection: Connection
) -> None:
    await client.create("ada", messages.ROLE_ADMIN)
    tokens = await client.log_in("ada", ADA_PASSWORD)
    await connection.execute("UPDATE auth.user SET roles = '{viewer}' WHERE username = 'ada'")
    caller = await client.verify(await client.refresh(tokens), settings)
    assert caller.permissions == PERMISSIONS[Role.VIEWER]


async def test_of_those_who_want_a_name_at_the_same_time_one_gets_it(client: Client) -> None:
    answers, failures = await outcomes(*(client.create("ada", password=f"the password of {n}") for n in range(8)))
    assert (
        failures
        == [
            Described(
                "ALREADY_EXISTS", "The user name ada is taken", "USERNAME_TAKEN", "retail.auth.v1", {"username": "ada"}
            )
        ]
        * 7
    )
    assert [user.username for user in answers] == ["ada"]
    logins, _ = await outcomes(*(client.log_in("ada", f"the password of {n}") for n in range(8)))
    assert len(logins) == 1


@pytest.mark.parametrize(
    ("user", "password", "field"),
    [
        (messages.User(username="Ada", roles=[messages.ROLE_VIEWER]), ADA_PASSWORD, "user.username"),
        (messages.User(username="ada"), ADA_PASSWORD, "user.roles"),
        (messages.User(username="ada", roles=[messages.ROLE_UNSPECIFIED]), ADA_PASSWORD, "user.roles[0]"),
        (messages.User(username="ada", roles=[cast("messages.Role.ValueType", 99)]), ADA_PASSWORD, "user.roles[0]"),
        (messages.User(username="ada", roles=[messages.ROLE_VIEWER]), "too short", "password"),
        (None, ADA_PASSWORD, "user"),
    ],
)
async def test_a_user_against_the_contract_is_refused(
    client: Client, user: messages.User | None, password: str, field: str
) -> None:
    why = await refused(client.stub.CreateUser(messages.CreateUserRequest(user=user, password=password)))
    assert (why.code, why.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert [path for path, _ in why.fields] == [field]


async def test_only_those_who_may_make_users(settings: Settings) -> None:
    async with bootstrap(settings) as rpc, serving(rpc) as server:
        async with server.channel(PERMISSIONS[Role.API]) as channel:
            why = await refused(Client(AuthServiceStub(channel)).create("ada"))
            assert (why.reason, why.metadata) == ("PERMISSION_MISSING", {"permission": "users.write"})
        async with server.channel() as channel:
            anyone = Client(AuthServiceStub(channel))
            assert (await refused(anyone.create("ada"))).reason == "TOKEN_MISSING"
            assert await anyone.refresh(await anyone.log_in())
            assert await anyone.jwks()


async def test_without_the_database_sessions_are_unavailable_and_keys_are_not(
    settings: Settings,
) -> None:
    with running(["postgres"]) as stack:
        lost = DatabaseSettings.from_environment({"DATABASE_URL": stack.environment["DATABASE_URL"]})
        async with serving_auth(replace(settings, database=lost)) as client:
            tokens = await client.log_in()
            await asyncio.to_thread(stack.down)
            for call in (client.log_in(), client.refresh(tokens), client.create("ada")):
                why = await refused(call)
                assert (why.code, why.reason, why.domain) == ("UNAVAILABLE", "SESSIONS_UNAVAILABLE", "retail.auth.v1")
                assert why.retry_after == 1.0
            assert (await client.verify(tokens, settings)).claims["username"] == "admin"


async def test_sessions_whose_time_is_over_are_forgotten(settings: Settings, connection: Connection) -> None:
    async with serving_auth(settings, Clock(ahead=-settings.session_life)) as client:
        await client.refresh(await client.log_in())
        assert await connection.fetchval("SELECT count(*) FROM auth.refresh_token") == 2
    async with serving_auth(settings, Clock(ahead=timedelta(minutes=5))) as client:
        await client.log_in()
    assert await connection.fetchval("SELECT count(*) FROM auth.session") == 1
    assert await connection.fetchval("SELECT count(*) FROM auth.refresh_token") == 1


async def test_processes_that_start_together_make_one_admin(settings: Settings, connection: Connection) -> None:
    async def start() -> None:
        async with bootstrap(settings):
            pass

    await asyncio.gather(*(start() for _ in range(4)))
    assert await connection.fetchval("SELECT array_agg(username) FROM auth.user") == ["admin"]


async def test_a_later_start_leaves_the_admin_alone(settings: Settings, tmp_path: Path) -> None:
    async with serving_auth(settings):
        pass
    gone = replace(settings, admin_password_file=tmp_path / "removed-after-the-first-start")
    async with serving_auth(gone) as client:
        assert await client.log_in()


async def test_without_a_password_no_admin_is_made_and_the_log_says_how(
    settings: Settings, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    async with bootstrap(replace(settings, admin_password_file=None)):
        assert await connection.fetchval("SELECT count(*) FROM auth.user") == 0
    assert "ADMIN_PASSWORD_FILE" in caplog.text


@pytest.mark.parametrize("content", ["", "\n", "hunter2", "not utf-8: \udcff", None])
async def test_a_file_without_a_good_password_ends_the_start_with_one_line(
    settings: Settings, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "bad"
    if content is not None:
        file.write_text(content, errors="surrogateescape")
    with pytest.raises(SettingsError, match=r"ADMIN_PASSWORD_FILE=.*bad") as failure:
        async with bootstrap(replace(settings, admin_password_file=file)):
            pass
    assert "\n" not in str(failure.value)
    assert "hunter2" not in str(failure.value)
