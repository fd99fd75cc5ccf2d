"""What is done to tables while they rest: small files are merged, replaced ones deleted, state indexes checked."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import structlog

from holdfast.common.clock import Clock
from holdfast.common.failpoints import durable_step
from holdfast.common.leases import Lease
from holdfast.common.postgres import Database, Unit
from holdfast.differ import store
from holdfast.differ.adopting import up_to_date
from holdfast.differ.store import TableKey, TableRow
from holdfast.differ.tables import Tables
from holdfast.vault.compaction import Policy
from holdfast.vault.table import RecordTable

COMPACTION_RECORDED = durable_step("differ.compaction_recorded")
REPLACED_CLEARED = durable_step("differ.replaced_cleared")
INDEX_CHECKED = durable_step("differ.index_checked")
log = structlog.get_logger(__name__)


class Upkeep:
    """Keeps tables small, fast and sure. Callers hold the table's lease; a call does one piece of work.

    Args:
        grace: How long files that were merged into others stay, for readers of older Delta versions.
        check_every: How often a state index is held against its table.
    """

    def __init__(
        self,
        db: Database,
        tables: Tables,
        cpu: asyncio.Semaphore,
        clock: Clock,
        *,
        policy: Policy,
        grace: timedelta,
        check_every: timedelta,
    ) -> None:
        self._db, self._tables, self._cpu, self._clock = db, tables, cpu, clock
        self._policy, self._grace, self._check_every = policy, grace, check_every
        self._worth: dict[TableKey, None] = {}

    def look_at(self, key: TableKey) -> None:
        """Remember a table that was just worked on if it has many small files by now."""
        if self._tables.worth_compacting(key, self._policy):
            self._worth[key] = None

    async def next_table(self) -> TableKey | None:
        """A table with something to be done."""
        if self._worth:
            key = next(iter(self._worth))
            del self._worth[key]
            return key
        now = self._clock.now()
        return await store.table_to_keep_up(self._db, now - self._grace, now - self._check_every)

    async def keep_up(self, key: TableKey, lease: Lease) -> None:
        """Merge one batch of files, delete what was replaced long ago, check the index if it is due.

        Raises:
            HoldfastError: FENCED if another replica took the table; DAMAGED if the table is not what was written.
        """
        row, table = await up_to_date(self._db, self._tables, key, lease)
        if row.pending_page is not None:
            return
        try:
            await self._compact(key, lease, table)
            await self._clear_and_check(key, lease, row, table)
        except BaseException:
            self._tables.forget(key)
            raise

    async def _compact(self, key: TableKey, lease: Lease, table: RecordTable) -> None:
        now = self._clock.now()
        async with self._cpu:
            merged = await asyncio.to_thread(table.compact, self._policy, round(now.timestamp() * 1000))
        if not merged:
            return

        async def work(unit: Unit) -> None:
            await lease.guard(unit)
            await store.record_compaction(unit, key, table.head, table.version, now)

        await self._db.run(COMPACTION_RECORDED, work)
        log.info("table_compacted", table=str(key), version=table.version, files=len(table.index.layout.stored()))
        self.look_at(key)

    async def _clear_and_check(self, key: TableKey, lease: Lease, row: TableRow, table: RecordTable) -> None:
        now = self._clock.now()
        replaced_since, checked_at = await store.upkeep_of(self._db, key)
        if replaced_since is not None and replaced_since < now - self._grace:
            await self._clear(key, lease, table, now - self._grace)
        if checked_at < now - self._check_every:
            await self._check(key, lease, table, now)

    async def _clear(self, key: TableKey, lease: Lease, table: RecordTable, before: datetime) -> None:
        oldest = await asyncio.to_thread(table.delete_replaced, round(before.timestamp() * 1000))
        since = None if oldest is None else datetime.fromtimestamp(oldest / 1000, UTC)

        async def work(unit: Unit) -> None:
            await lease.guard(unit)
            await store.mark_cleared(unit, key, since)

        await self._db.run(REPLACED_CLEARED, work)

    async def _check(self, key: TableKey, lease: Lease, table: RecordTable, now: datetime) -> None:
        async with self._cpu:
            right = await asyncio.to_thread(table.check_index)
        if not right:
            log.error("state_index_was_wrong", table=str(key), version=table.version)

        async def work(unit: Unit) -> None:
            await lease.guard(unit)
            await store.mark_checked(unit, key, now)

        await self._db.run(INDEX_CHECKED, work)
