"""The first user, without whom nobody could make another."""

from pathlib import Path

from retail.auth.v1 import auth_service_pb2 as messages

import mesh
from mesh.error import described
from mesh.interceptors.validation import check
from mesh.settings import SettingsError
from services.auth.auth import Auth
from services.auth.domain.errors import UsernameTakenError
from services.auth.domain.roles import Role
from services.auth.store.users import UserStore

USERNAME = "admin"

log = mesh.logger(__name__)


async def ensure_first_admin(users: UserStore, auth: Auth, password_file: Path | None) -> None:
    """Makes the user `admin`, if there is no user yet, with the password in the file.

    Several processes may do so at once. Raises SettingsError for a file that can't be read, and for a password that
    CreateUser would refuse.
    """
    if await users.any():
        return
    if password_file is None:
        log.warning(
            f"there is no user yet: name a file that holds a password by ADMIN_PASSWORD_FILE and start again, "
            f"then there is the user {USERNAME}"
        )
        return
    try:
        await auth.create_user(USERNAME, [Role.ADMIN], _password(password_file))
        log.info("first user made", username=USERNAME, password_file=str(password_file))
    except UsernameTakenError:
        pass  # by another process that starts


def _password(file: Path) -> str:
    name = f"ADMIN_PASSWORD_FILE={str(file)!r}"
    try:
        password = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise SettingsError(f"{name} can't be read: {problem}") from None
    try:
        check(
            messages.CreateUserRequest(
                user=messages.User(username=USERNAME, roles=[messages.ROLE_ADMIN]), password=password
            )
        )
    except mesh.Error as refused:
        problems = "; ".join(problem for _, problem in described(refused.status).fields)
        raise SettingsError(f"{name} holds no good password: {problems}") from None
    return password
