"""Who may work on something: leases with a heartbeat, and an epoch that fences whoever lost one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import structlog

from holdfast.common.clock import Clock
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import durable_step
from holdfast.common.postgres import Database, Queries, Unit
from holdfast.common.tasks import end_tasks

ACQUIRED = durable_step("common.lease_acquired")
EXTENDED = durable_step("common.lease_extended")
RELEASED = durable_step("common.lease_released")
ACQUIRE_POLL = timedelta(milliseconds=250)
_queries = Queries.load("holdfast.common")
log = structlog.get_logger(__name__)


class Lease:
    """A lease that is held. Its heartbeat runs by itself until `release`.

    Attributes:
        name: What it is for.
        epoch: Grows with each holder; a guard with an old epoch refuses.
        lost: Set when the lease could not be extended in time, or belongs to another holder.
    """

    def __init__(self, db: Database, clock: Clock, name: str, epoch: int, ttl: timedelta) -> None:
        self.name = name
        self.epoch = epoch
        self.lost = asyncio.Event()
        self._db = db
        self._clock = clock
        self._ttl = ttl
        self._valid_until = clock.monotonic() + ttl.total_seconds()
        self._heartbeat: asyncio.Task[None] | None = None

    def start_heartbeat(self) -> None:
        """For Leases only: extend the lease three times per term."""
        self._heartbeat = asyncio.create_task(self._beat(), name=f"lease {self.name}")

    async def guard(self, unit: Unit) -> None:
        """Make the unit's commit depend on this lease: nobody else can take it until the unit ends.

        Raises:
            HoldfastError: FENCED when another holder has had the lease since.
        """
        epoch = await unit.fetchval(_queries.lease_guard, self.name)
        if epoch != self.epoch:
            self.lost.set()
            raise HoldfastError(
                Kind.FENCED, f"The lease {self.name!r} has moved to another process.", code="lease-lost"
            )

    async def release(self) -> None:
        """Stop the heartbeat and let the next one in at once. Errors are left to the lease's expiry."""
        if self._heartbeat is not None:
            await end_tasks([self._heartbeat])
        if self.lost.is_set():
            return
        with suppress(HoldfastError):
            async with self._db.unit(RELEASED) as unit:
                await unit.execute(_queries.lease_release, self.name, self.epoch)

    async def _beat(self) -> None:
        while not self.lost.is_set():
            await self._clock.sleep(self._ttl / 3)
            await self.extend()

    async def extend(self) -> None:
        """One heartbeat: extend the term, or set `lost` when it is another's or has run out."""
        asked_at = self._clock.monotonic()
        try:
            async with self._db.unit(EXTENDED) as unit:
                epoch = await unit.fetchval(_queries.lease_extend, self.name, self.epoch, self._ttl)
        except HoldfastError as error:
            log.warning("lease_not_extended", lease=self.name, detail=error.detail)
            if self._clock.monotonic() >= self._valid_until:
                self.lost.set()
            return
        if epoch is None:
            self.lost.set()
        else:
            self._valid_until = asked_at + self._ttl.total_seconds()


class Leases:
    """Leases of one service, kept in its schema."""

    def __init__(self, db: Database, clock: Clock, holder: str) -> None:
        self._db = db
        self._clock = clock
        self._holder = holder

    async def acquire(self, name: str, ttl: timedelta) -> Lease | None:
        """The lease, or None while another holds it."""
        async with self._db.unit(ACQUIRED) as unit:
            epoch = await unit.fetchval(_queries.lease_acquire, name, self._holder, ttl)
        if epoch is None:
            return None
        lease = Lease(self._db, self._clock, name, epoch, ttl)
        lease.start_heartbeat()
        return lease

    async def release_left_over(self) -> None:
        """At start: free what an earlier life of this holder still holds. Only for a holder's name that is kept
        over restarts and shared with no other process; whoever lost a lease this way is fenced by its epoch."""
        async with self._db.unit(RELEASED) as unit:
            await unit.execute(_queries.lease_release_all, self._holder)

    @asynccontextmanager
    async def hold(self, name: str, ttl: timedelta) -> AsyncIterator[Lease]:
        """Wait for the lease, hold it, release it."""
        lease = await self.acquire(name, ttl)
        while lease is None:
            await self._clock.sleep(ACQUIRE_POLL)
            lease = await self.acquire(name, ttl)
        try:
            yield lease
        finally:
            await lease.release()
