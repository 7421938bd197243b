"""The life of a signing key: published, then signing, then only verifying, then gone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import uuid4


@dataclass(frozen=True)
class SigningKey:
    key_id: str
    private_key: bytes = field(repr=False)
    """PKCS #8, DER."""
    create_time: datetime
    active_time: datetime
    """Signs from here on, until a younger key does."""
    retire_time: datetime | None = None
    """No token that it signed lives any longer; None while it has no successor."""

    def retired(self, at: datetime) -> bool:
        return self.retire_time is not None and at >= self.retire_time


@dataclass(frozen=True)
class Rotation:
    every: timedelta
    """A key gets a successor at this age."""
    grace: timedelta
    """How far behind anybody may be: those who verify in taking a published key, a replica in looking at the keys."""
    token_life: timedelta

    def rotated(self, keys: Sequence[SigningKey], at: datetime, make: Callable[[], bytes]) -> tuple[SigningKey, ...]:
        """The keys that there should be, the oldest first: without the retired, with a successor where one is due."""
        live = tuple(sorted((key for key in keys if not key.retired(at)), key=lambda key: key.create_time))
        if live and at < live[-1].create_time + self.every:
            return live
        # With no key before it there is nothing that could sign in the meantime.
        active_time = at + self.grace if live else at
        retire_time = active_time + self.grace + self.token_life
        return (
            *(key if key.retire_time else replace(key, retire_time=retire_time) for key in live),
            SigningKey(uuid4().hex, make(), at, active_time),
        )


def signer(keys: Sequence[SigningKey], at: datetime) -> SigningKey:
    """The key to sign with: the youngest that is active.

    Where none is yet, by a clock that lags behind that of the key's maker, the one that will be first.
    """
    active = [key for key in keys if key.active_time <= at]
    return max(active, key=lambda key: key.active_time) if active else min(keys, key=lambda key: key.active_time)
