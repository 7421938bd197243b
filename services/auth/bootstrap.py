"""Puts the auth service together. Tests swap parts here and nowhere else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import mesh
from mesh.background import background
from mesh.registry import Registry
from services import database
from services.auth.access_tokens import AccessTokens
from services.auth.auth import Auth
from services.auth.domain.keys import Rotation
from services.auth.first_admin import ensure_first_admin
from services.auth.passwords import Passwords
from services.auth.rpc import AuthRpc
from services.auth.settings import Settings
from services.auth.signing_keys import SigningKeys
from services.auth.store.keys import KeyStore
from services.auth.store.sessions import SessionStore
from services.auth.store.tables import MIGRATIONS, SCHEMA
from services.auth.store.users import UserStore
from services.database import StoreUnavailableError

_TIDY_SECONDS = 3600

log = mesh.logger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


@contextlib.asynccontextmanager
async def bootstrap(settings: Settings, *, clock: Callable[[], datetime] = _now) -> AsyncIterator[AuthRpc]:
    """The service over its migrated schema, its keys published and kept so until the block ends.

    Raises StoreUnavailableError, MigrationError, RegistryError, and SettingsError for the file of the first password.
    """
    async with contextlib.AsyncExitStack() as stack:
        schema = await stack.enter_async_context(
            database.connected(settings.database, schema=SCHEMA, migrations=MIGRATIONS)
        )
        registry = await stack.enter_async_context(Registry.from_environment())
        threads = stack.enter_context(ThreadPoolExecutor(settings.hash_threads, "passwords"))
        passwords = Passwords(threads, thread_count=settings.hash_threads, cost=settings.bcrypt_cost)
        users, sessions = UserStore(schema), SessionStore(schema)
        rotation = Rotation(settings.key_rotation, settings.key_grace, settings.access_token_life)
        keys = SigningKeys(
            KeyStore(schema), registry, rotation, issuer=settings.issuer, audience=settings.audience, clock=clock
        )
        await keys.look()
        access_tokens = AccessTokens(
            keys, issuer=settings.issuer, audience=settings.audience, life=settings.access_token_life, clock=clock
        )
        auth = Auth(users, sessions, passwords, access_tokens, settings.session_life, clock)
        await ensure_first_admin(users, auth, settings.admin_password_file)
        await stack.enter_async_context(background(keys.keep(), "signing-keys"))
        await stack.enter_async_context(background(_tidy(sessions, clock), "expired-sessions"))
        yield AuthRpc(auth, keys)


async def _tidy(sessions: SessionStore, clock: Callable[[], datetime]) -> None:
    """Forgets sessions that are over, for ever."""
    while True:
        with contextlib.suppress(StoreUnavailableError):  # next time, then
            deleted = await sessions.delete_expired(clock())
            log.debug("expired sessions deleted", sessions=deleted)
        await asyncio.sleep(_TIDY_SECONDS)
