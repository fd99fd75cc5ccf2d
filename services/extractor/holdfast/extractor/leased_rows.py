"""Runs and objects as leased rows: claim, renew, give back. Leases end by the database's clock."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from uuid import UUID

from holdfast.common.postgres import Database, Record, Unit
from holdfast.extractor.files.queueing import sql as files_sql
from holdfast.extractor.steps import LEASE_WRITTEN
from holdfast.extractor.store import Run, RunClaim, TaskClaim, sql


class RunRows:
    """Runs that wait for a plan, as leased rows."""

    def __init__(self, db: Database, holder: str, lease: timedelta) -> None:
        self._db = db
        self._holder = holder
        self._lease = lease

    async def claim(self, in_hand: Collection[UUID] = ()) -> RunClaim | None:
        """Lease the oldest run that waits and is not in hand."""

        async def work(unit: Unit) -> Record | None:
            return await unit.fetchrow(sql.claim_extraction, self._holder, self._lease, list(in_hand))

        row = await self._db.run(LEASE_WRITTEN, work)
        if row is None:
            return None
        return RunClaim(Run.of(row), tuple(row["objects"]), row["full_scan"], row["epoch"])

    async def renew(self, claims: Sequence[RunClaim]) -> set[UUID]:
        """Prolong leases; returns those that were still held."""
        return await _renew(self._db, sql.renew_extractions, self._holder, claims, self._lease)

    async def still_held(self, claims: Sequence[RunClaim]) -> set[UUID]:
        """Those that nobody has taken away."""
        return await _still_held(self._db, sql.still_held_extractions, claims)

    async def release(self, claims: Sequence[RunClaim]) -> None:
        """Give runs back."""
        await _release(self._db, sql.release_extraction, claims)


class TaskRows:
    """Objects that wait to be read, as leased rows."""

    def __init__(self, db: Database, holder: str, lease: timedelta) -> None:
        self._db = db
        self._holder = holder
        self._lease = lease

    async def claim(self, in_hand: Collection[UUID] = ()) -> TaskClaim | None:
        """Lease the largest object that waits and is not in hand."""

        async def work(unit: Unit) -> Record | None:
            return await unit.fetchrow(sql.claim_task, self._holder, self._lease, list(in_hand))

        row = await self._db.run(LEASE_WRITTEN, work)
        return None if row is None else TaskClaim.of(row)

    async def renew(self, claims: Sequence[TaskClaim]) -> set[UUID]:
        """Prolong leases; returns those that were still held."""
        return await _renew(self._db, sql.renew_tasks, self._holder, claims, self._lease)

    async def still_held(self, claims: Sequence[TaskClaim]) -> set[UUID]:
        """Those that nobody has taken away."""
        return await _still_held(self._db, sql.still_held_tasks, claims)

    async def release(self, claims: Sequence[TaskClaim]) -> None:
        """Give objects back."""
        await _release(self._db, sql.release_task, claims)


async def _renew(
    db: Database, statement: str, holder: str, claims: Sequence[RunClaim | TaskClaim], lease: timedelta
) -> set[UUID]:
    keys = [claim.key for claim in claims]
    epochs = [claim.epoch for claim in claims]

    async def work(unit: Unit) -> set[UUID]:
        return {row[0] for row in await unit.fetch(statement, holder, keys, epochs, lease)}

    return await db.run(LEASE_WRITTEN, work)


async def _still_held(db: Database, statement: str, claims: Sequence[RunClaim | TaskClaim]) -> set[UUID]:
    keys, epochs = [claim.key for claim in claims], [claim.epoch for claim in claims]
    return {row[0] for row in await db.fetch(statement, keys, epochs)}


async def _release(db: Database, statement: str, claims: Sequence[RunClaim | TaskClaim]) -> None:
    async def work(unit: Unit) -> None:
        await unit.executemany(statement, [(claim.key, claim.epoch) for claim in claims])

    await db.run(LEASE_WRITTEN, work)


async def release_own(db: Database, holder: str) -> None:
    """Drop what an earlier life of this holder had leased."""

    async def work(unit: Unit) -> None:
        await unit.execute(sql.release_own_extractions, holder)
        await unit.execute(sql.release_own_tasks, holder)
        await unit.execute(files_sql.release_own_files, holder)

    await db.run(LEASE_WRITTEN, work)
