"""Users and tokens between the contract's messages and the domain."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from retail.auth.v1 import auth_service_pb2 as messages

from services.auth.auth import Grant
from services.auth.domain.roles import Role
from services.auth.domain.user import User

ROLES = {
    Role.ADMIN: messages.Role.ROLE_ADMIN,
    Role.ANALYST: messages.Role.ROLE_ANALYST,
    Role.VIEWER: messages.Role.ROLE_VIEWER,
    Role.API: messages.Role.ROLE_API,
}
_ROLES_BY_NUMBER = {number: role for role, number in ROLES.items()}


def roles_of(user: messages.User) -> list[Role]:
    return [_ROLES_BY_NUMBER[number] for number in user.roles]


def user_message(user: User) -> messages.User:
    create_time = Timestamp()
    create_time.FromDatetime(user.create_time)
    return messages.User(
        user_id=str(user.user_id),
        username=user.username,
        roles=[ROLES[role] for role in user.roles],
        create_time=create_time,
    )


def tokens_message(grant: Grant) -> messages.Tokens:
    expires_in = Duration()
    expires_in.FromTimedelta(grant.access.expires_in)
    return messages.Tokens(
        access_token=grant.access.text,
        token_type="Bearer",  # noqa: S106 - a scheme
        expires_in=expires_in,
        refresh_token=grant.refresh.text,
        scope=grant.access.scope,
    )
