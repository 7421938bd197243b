"""Roles, sessions and the life of keys, without a database."""

from datetime import UTC, datetime, timedelta
from itertools import accumulate

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from hypothesis import given
from hypothesis import strategies as st
from mesh.v1 import options_pb2

from gateway.contracts import contracts
from services.auth.domain.keys import Rotation, SigningKey, signer
from services.auth.domain.roles import PERMISSIONS, Role, permissions
from services.auth.domain.session import RefreshToken, Session
from services.auth.domain.user import User

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ADA = User.new("ada", [Role.VIEWER, Role.API], NOON)


def named(described: FileDescriptorSet) -> set[str]:
    """The permissions that methods ask for."""
    policies = [
        method.options.Extensions[options_pb2.policy]
        for file in described.file
        for service in file.service
        for method in service.method
    ]
    return {policy.permission for policy in policies if policy.permission}


def test_the_admin_has_every_permission_that_a_contract_names() -> None:
    assert PERMISSIONS[Role.ADMIN] == named(contracts())


def test_roles_have_no_permission_that_no_contract_names() -> None:
    assert permissions(Role) == named(contracts())


def test_what_each_role_may_do() -> None:
    reads = {permission for permission in permissions(Role) if permission.endswith(".read")}
    assert permissions([Role.VIEWER]) == reads
    assert permissions([Role.ANALYST]) == reads | {"files.write", "jobs.write"}
    assert permissions([Role.API]) == reads | {"files.write", "jobs.write", "sales.write"}
    assert permissions([]) == frozenset()


def test_a_scope_is_in_order_and_names_each_permission_once() -> None:
    assert ADA.scope.split() == sorted(permissions([Role.API]))


def test_a_refresh_token_is_never_the_same_and_never_shown() -> None:
    tokens = [RefreshToken.new() for _ in range(100)]
    assert len({token.text for token in tokens}) == len({token.digest for token in tokens}) == 100
    assert all(len(token.text) >= 43 and len(token.digest) == 32 for token in tokens)  # 256 bits in base64
    assert tokens[0].text not in repr(tokens[0])


def test_a_session_is_over_at_its_expiry() -> None:
    session = Session.begin(ADA, NOON, HOUR)
    assert not session.over(NOON + HOUR - timedelta(microseconds=1))
    assert session.over(NOON + HOUR)


def test_the_first_key_signs_at_once_and_its_successor_after_the_grace() -> None:
    rotation = Rotation(every=timedelta(days=30), grace=HOUR, token_life=timedelta(minutes=15))
    [first] = rotation.rotated((), NOON, lambda: b"1")
    assert signer([first], NOON) == first

    due = NOON + timedelta(days=30)
    assert rotation.rotated([first], due - HOUR, lambda: b"2") == (first,)
    keys = rotation.rotated([first], due, lambda: b"2")
    assert [key.private_key for key in keys] == [b"1", b"2"]
    assert signer(keys, due).private_key == b"1"
    assert signer(keys, due + HOUR).private_key == b"2"
    assert rotation.rotated(keys, due + HOUR, lambda: b"3") == keys

    retired = due + HOUR + HOUR + timedelta(minutes=15)
    assert rotation.rotated(keys, retired - timedelta(seconds=1), lambda: b"3") == keys
    assert rotation.rotated(keys, retired, lambda: b"3") == keys[1:]


def test_a_key_is_never_shown() -> None:
    assert "secret" not in repr(SigningKey("id", b"secret", NOON, NOON))


def test_a_clock_that_lags_signs_with_the_key_that_will_be_first() -> None:
    [first] = Rotation(HOUR, HOUR, HOUR).rotated((), NOON, lambda: b"")
    assert signer([first], NOON - timedelta(seconds=3)) == first


@given(
    every=st.integers(1, 500),
    grace=st.integers(1, 100),
    token_life=st.integers(1, 100),
    steps=st.lists(st.integers(0, 120), min_size=1, max_size=60),
)
def test_whoever_is_behind_by_no_more_than_the_grace_can_sign_and_verify(
    every: int, grace: int, token_life: int, steps: list[int]
) -> None:
    """At each step somebody looks at the keys. Every other replica has a view of up to the grace ago."""
    rotation = Rotation(timedelta(seconds=every), timedelta(seconds=grace), timedelta(seconds=token_life))
    keys: tuple[SigningKey, ...] = ()
    views: list[tuple[datetime, tuple[SigningKey, ...]]] = []
    tokens: dict[tuple[str, datetime], None] = {}  # the key that signed, and the expiry
    for seconds in accumulate(steps):
        at = NOON + timedelta(seconds=seconds)
        keys = rotation.rotated(keys, at, lambda: b"")
        views.append((at, keys))
        recent = [view for seen, view in views if at - seen <= rotation.grace]
        signers = {signer(view, at).key_id for view in recent}
        assert all(signers <= {key.key_id for key in view} for view in recent)
        tokens |= {(signed, at + rotation.token_life): None for signed in signers}
        assert {signed for signed, expires in tokens if expires > at} <= {key.key_id for key in keys}
