"""What can go wrong with the database that is nobody's defect, under one name."""

import contextlib
from collections.abc import Iterator

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

import mesh

# SQLSTATE classes and codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
_UNAVAILABLE_CLASSES = (
    "08",  # connection exception
    "53",  # insufficient resources: disk full, too many connections
    "57P",  # the operator shuts down, restarts or drops
    "25006",  # read only: a standby after a failover
)


class StoreUnavailableError(mesh.StartError):
    """The database can't be reached or can't work now. Whether a transaction under way was committed is not known."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"the database cannot be reached, or cannot work now: {cause}")


@contextlib.contextmanager
def naming_unavailability() -> Iterator[None]:
    """Raises StoreUnavailableError for a lost, refused or missing connection; lets everything else pass.

    The message is a class name and an SQLSTATE, never a statement or its values.
    """
    try:
        yield
    except PoolTimeoutError:
        raise StoreUnavailableError("no connection became free in time") from None
    except DBAPIError as failure:
        state = getattr(failure.orig, "sqlstate", None) or ""
        if failure.connection_invalidated or state.startswith(_UNAVAILABLE_CLASSES):
            raise StoreUnavailableError(f"{type(failure.orig).__name__} {state}".strip()) from None
        raise
    # While a connection is opened, the driver's own errors come as they are.
    except asyncpg.PostgresError as failure:
        if (failure.sqlstate or "").startswith(_UNAVAILABLE_CLASSES):
            raise StoreUnavailableError(f"{type(failure).__name__} {failure.sqlstate}") from None
        raise
    except (OSError, asyncpg.InterfaceError) as failure:  # OSError: refused, reset, timed out
        raise StoreUnavailableError(type(failure).__name__) from None
