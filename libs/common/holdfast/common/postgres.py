"""Postgres: one pool and one schema per service, and the unit of work that takes a durable step."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy

from holdfast.common import migrate as migration
from holdfast.common.clock import Clock, SystemClock
from holdfast.common.errors import HoldfastError
from holdfast.common.failpoints import DurableStep
from holdfast.common.folds import Folds
from holdfast.common.postgres_errors import DRIVER_ERRORS, RetryUnitError, UniqueViolationError, translate
from holdfast.common.retry import retrying
from holdfast.common.sql import Queries
from holdfast.common.wakeup import Signal

__all__ = ["Connection", "Database", "Queries", "Record", "UniqueViolationError", "Unit", "translated"]

Record = asyncpg.Record
Connection = asyncpg.Connection | PoolConnectionProxy
P = ParamSpec("P")
T = TypeVar("T")
log = structlog.get_logger(__name__)

# Without a command timeout a dead socket blocks until the kernel gives up.
COMMAND_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10.0
ACQUIRE_TIMEOUT_S = 5.0
UNIT_ATTEMPTS = 8
_SCHEMA = re.compile(r"[a-z][a-z0-9_]{0,40}")


def server_settings(schema: str) -> dict[str, str]:
    """What every connection asks of the server: our schema, and an end to everything that hangs."""
    return {
        "search_path": schema,
        "application_name": f"holdfast-{schema}",
        "statement_timeout": "25000",
        "lock_timeout": "10000",
        "idle_in_transaction_session_timeout": "60000",
        "timezone": "UTC",
        "jit": "off",
        "tcp_keepalives_idle": "30",
        "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "3",
    }


class Unit:
    """Statements inside one transaction. Driver errors come out as HoldfastError."""

    def __init__(self, connection: Connection, outbox_signal: Signal, folds: Folds) -> None:
        self._connection = connection
        self.outbox_signal = outbox_signal
        self.folds = folds
        self._callbacks: list[Callable[[], None]] = []

    async def fetch(self, query: str, *args: object) -> list[Record]:
        """All rows."""
        return list(await translated(self._connection.fetch, query, *args))

    async def fetchrow(self, query: str, *args: object) -> Record | None:
        """The first row, or None."""
        return await translated(self._connection.fetchrow, query, *args)

    async def fetchval(self, query: str, *args: object) -> Any:
        """The first value of the first row, or None."""
        return await translated(self._connection.fetchval, query, *args)

    async def execute(self, query: str, *args: object) -> str:
        """Run a statement; returns the server's tag, such as `UPDATE 3`."""
        return await translated(self._connection.execute, query, *args)

    async def executemany(self, query: str, args: Iterable[Sequence[object]]) -> None:
        """Run a statement once per argument list."""
        await translated(self._connection.executemany, query, args)

    async def copy_records_to_table(
        self, table: str, *, records: Iterable[Sequence[object]], columns: Sequence[str]
    ) -> None:
        """Insert many rows by COPY."""
        await translated(self._connection.copy_records_to_table, table, records=records, columns=list(columns))

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Have `callback` called once the transaction is durable; never when it rolls back."""
        self._callbacks.append(callback)

    def run_callbacks(self) -> None:
        """For Database only: the transaction is durable now."""
        for callback in self._callbacks:
            callback()


class Database:
    """The pool of one service. Reads go directly; every write goes through a unit."""

    def __init__(self, pool: asyncpg.Pool, dsn: str, schema: str, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self.dsn = dsn
        self.schema = schema
        self.outbox_signal = Signal()
        self._folds = Folds()

    @classmethod
    async def open(
        cls, dsn: str, schema: str, *, min_size: int = 1, max_size: int = 8, clock: Clock | None = None
    ) -> Database:
        """Connect.

        Raises:
            HoldfastError: UNAVAILABLE when the server cannot be reached.
        """
        if not _SCHEMA.fullmatch(schema):
            raise ValueError(f"not a schema name: {schema!r}")
        pool = asyncpg.create_pool(
            dsn,
            min_size=min_size,
            max_size=max_size,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            max_inactive_connection_lifetime=300,
            server_settings=server_settings(schema),
            reset=_nothing_to_reset,
        )
        await translated(lambda: pool)
        return cls(pool, dsn, schema, clock or SystemClock())

    async def migrate(self, *packages: str) -> None:
        """Create the schema, common's tables and those of `packages`; safe in many processes at once."""
        async with self.acquire() as connection:
            for name in await translated(migration.migrate, connection, self.schema, packages):
                log.info("migrated", schema=self.schema, migration=name)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """A pooled connection; for this package's own needs (units are for everyone else)."""
        connection = await translated(self._pool.acquire, timeout=ACQUIRE_TIMEOUT_S)
        try:
            yield connection
        finally:
            # A lost connection is already out of the pool; its loss was raised by the statement.
            with suppress(*DRIVER_ERRORS):
                await self._pool.release(connection, timeout=ACQUIRE_TIMEOUT_S)

    async def dedicated(self) -> asyncpg.Connection:
        """A connection of its own, outside the pool, for a session lock; the caller closes it."""
        return await translated(
            asyncpg.connect,
            self.dsn,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            server_settings=server_settings(self.schema),
        )

    @asynccontextmanager
    async def unit(self, step: DurableStep) -> AsyncIterator[Unit]:
        """BEGIN … COMMIT. An exception rolls back; `after_commit` callbacks run after the commit.

        An error out of the COMMIT itself may mean that it was stored: a unit must carry its own key.
        """
        async with self.acquire() as connection:
            transaction = connection.transaction()
            await translated(transaction.start)
            unit = Unit(connection, self.outbox_signal, self._folds)
            try:
                yield unit
            except BaseException as error:
                if isinstance(error.__cause__, asyncpg.exceptions.ReadOnlySQLTransactionError):
                    await self._pool.expire_connections()  # after a failover: they lead to a replica
                # The connection may be gone; then the server has rolled back already.
                with suppress(*DRIVER_ERRORS):
                    await transaction.rollback()
                raise
            step.before()
            await translated(transaction.commit)
            step.after()
        unit.run_callbacks()

    async def run(self, step: DurableStep, work: Callable[[Unit], Awaitable[T]]) -> T:
        """Run `work` in a unit; the whole unit again on connection loss, deadlock or a moved stream.

        `work` may therefore run several times, and must take its decisions from what it reads in the unit.
        """

        async def once() -> T:
            async with self.unit(step) as unit:
                return await work(unit)

        return await retrying(
            once,
            attempts=UNIT_ATTEMPTS,
            base=timedelta(milliseconds=20),
            cap=timedelta(seconds=2),
            clock=self._clock,
            retry_on=_unit_may_repeat,
        )

    async def fetch(self, query: str, *args: object) -> list[Record]:
        """All rows of a read."""
        async with self.acquire() as connection:
            return list(await translated(connection.fetch, query, *args))

    async def fetchrow(self, query: str, *args: object) -> Record | None:
        """The first row of a read, or None."""
        async with self.acquire() as connection:
            return await translated(connection.fetchrow, query, *args)

    async def fetchval(self, query: str, *args: object) -> Any:
        """The first value of a read, or None."""
        async with self.acquire() as connection:
            return await translated(connection.fetchval, query, *args)

    async def close(self) -> None:
        """Close all connections; those still busy after 5 s are cut."""
        try:
            await asyncio.wait_for(self._pool.close(), 5.0)
        except TimeoutError:
            self._pool.terminate()


async def _nothing_to_reset(connection: Connection) -> None:
    """Spare a round trip after each use, a third of all statements otherwise.

    Nobody changes a pooled session: locks are of transactions, and who needs a session lock or a setting has a
    connection of its own (`Database.dedicated`). An open transaction is rolled back by the driver before this.
    """


def _unit_may_repeat(error: BaseException) -> bool:
    return isinstance(error, RetryUnitError) or (isinstance(error, HoldfastError) and error.code == "stream-moved")


async def translated(call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Make a driver call; what it raises, at once or when awaited, comes out as HoldfastError."""
    try:
        return await call(*args, **kwargs)
    except DRIVER_ERRORS as error:
        raise translate(error) from error
