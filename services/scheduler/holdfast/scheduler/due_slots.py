"""The loop that turns due slots into runs. Of several schedulers only the holder of a lease fires."""

from __future__ import annotations

from datetime import timedelta

from holdfast.common.clock import Clock, Ids
from holdfast.common.leases import Lease, Leases
from holdfast.common.meta import Meta
from holdfast.common.postgres import Database, Unit
from holdfast.scheduler import handlers, store
from holdfast.scheduler.domain.slots import next_slot
from holdfast.scheduler.steps import SLOT_FIRED

LEASE_NAME = "scheduler.slots"


class DueSlots:
    """Fires slots: each once, and after an outage or a long run all that were missed as one."""

    def __init__(self, db: Database, leases: Leases, clock: Clock, ids: Ids, ttl: timedelta) -> None:
        self._db = db
        self._leases = leases
        self._clock = clock
        self._ids = ids
        self._ttl = ttl
        self._lease: Lease | None = None

    async def fire_one(self) -> bool:
        """Fire the slot that is overdue longest; False when none is, or another scheduler is in charge."""
        lease = await self._held()
        if lease is None:
            return False

        async def work(unit: Unit) -> bool:
            await lease.guard(unit)
            return await self._fire(unit)

        return await self._db.run(SLOT_FIRED, work)

    async def release(self) -> None:
        """Let another scheduler take over at once."""
        lease, self._lease = self._lease, None
        if lease is not None:
            await lease.release()

    async def _held(self) -> Lease | None:
        if self._lease is None or self._lease.lost.is_set():
            self._lease = await self._leases.acquire(LEASE_NAME, self._ttl)
        return self._lease

    async def _fire(self, unit: Unit) -> bool:
        now = self._clock.now()
        due = await store.next_due_job(unit, now)
        if due is None:
            return False
        job_id, slot = due
        job = await store.lock_job(unit, job_id)
        assert job is not None, "the row was locked by this unit"
        await store.plan_next_slot(unit, job_id, next_slot(job.cron, job.time_zone, now))
        order = handlers.RunOrder(run_id=self._ids.new(), trigger="slot", label="", full=False, slot=slot, at=now)
        meta = Meta(correlation_id=self._ids.new(), causation_id=None, actor="schedule")
        await handlers.open_run(unit, job_id, order, meta)
        return True
