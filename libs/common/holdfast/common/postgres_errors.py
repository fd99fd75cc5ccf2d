"""What Postgres and its driver raise, in terms of the one error type."""

from __future__ import annotations

import asyncpg

from holdfast.common.errors import HoldfastError, Kind


class UniqueViolationError(HoldfastError):
    """A row with this key is there already; `constraint` names the rule that it met."""

    def __init__(self, constraint: str, detail: str) -> None:
        super().__init__(Kind.CONFLICT, "This already exists.", code="already-exists", detail=detail)
        self.constraint = constraint


class RetryUnitError(HoldfastError):
    """The whole unit may be run again at once: nothing of it was stored, or it carries its own key."""


# Connection loss, serialisation, deadlock, a server that shuts down or became read-only.
_TRANSIENT = (
    asyncpg.exceptions.PostgresConnectionError,
    asyncpg.exceptions.TransactionRollbackError,
    asyncpg.exceptions.OperatorInterventionError,
    asyncpg.exceptions.InsufficientResourcesError,
    asyncpg.exceptions.ReadOnlySQLTransactionError,
    asyncpg.exceptions.LockNotAvailableError,
    asyncpg.exceptions.InterfaceError,
    asyncpg.exceptions.InternalClientError,  # a connection that died between two of the driver's own states
    ConnectionError,
    OSError,
)


def translate(error: BaseException) -> HoldfastError:
    """The HoldfastError for what the driver raised; INTERNAL for a mistake in our SQL."""
    detail = f"{type(error).__name__}: {error}"
    if isinstance(error, asyncpg.exceptions.UniqueViolationError):
        return UniqueViolationError(error.constraint_name or "", detail)
    if isinstance(error, asyncpg.exceptions.DataError):
        return HoldfastError(Kind.INTERNAL, "The database refused a value.", detail=detail)
    if isinstance(error, TimeoutError | asyncpg.exceptions.QueryCanceledError):
        return RetryUnitError(Kind.TIMEOUT, "The database did not answer in time.", detail=detail)
    if isinstance(error, _TRANSIENT):
        return RetryUnitError(Kind.UNAVAILABLE, "The database is not reachable right now.", detail=detail)
    return HoldfastError(Kind.INTERNAL, "The database refused a statement.", detail=detail)


DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
