"""What each role may do. The permissions are those that the methods' contracts ask for."""

from collections.abc import Iterable, Mapping
from enum import StrEnum


class Role(StrEnum):
    ADMIN = "admin"
    ANALYST = "analyst"
    VIEWER = "viewer"
    API = "api"


_READS = frozenset({"analytics.read", "jobs.read", "products.read", "sales.read"})
_LOADS = frozenset({"files.write", "jobs.write"})

PERMISSIONS: Mapping[Role, frozenset[str]] = {
    Role.ADMIN: _READS | _LOADS | {"sales.write", "users.write"},
    Role.ANALYST: _READS | _LOADS,
    Role.VIEWER: _READS,
    Role.API: _READS | _LOADS | {"sales.write"},
}


def permissions(roles: Iterable[Role]) -> frozenset[str]:
    """What the roles may do together."""
    return frozenset().union(*(PERMISSIONS[role] for role in roles))
