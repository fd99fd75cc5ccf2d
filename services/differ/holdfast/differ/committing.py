"""Staged pages into the table, each exactly once, whatever was interrupted before."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import durable_step
from holdfast.common.leases import Lease
from holdfast.common.meta import Meta
from holdfast.common.outbox import enqueue
from holdfast.common.postgres import Database, Unit
from holdfast.differ import store
from holdfast.differ.adopting import up_to_date
from holdfast.differ.announcements import change_counts, changes_committed
from holdfast.differ.store import PageRow, TableKey, TableRow
from holdfast.differ.tables import Tables
from holdfast.vault.refs import Committed, Counts
from holdfast.vault.table import RecordTable

NUMBER_RESERVED = durable_step("differ.commit_number_reserved")
COMMIT_RECORDED = durable_step("differ.commit_recorded")
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Turn:
    """One page's turn at one table: everything that the steps of its commit share."""

    key: TableKey
    lease: Lease
    page: PageRow
    row: TableRow
    table: RecordTable

    @property
    def number(self) -> int:
        """The commit number that the page gets if it changes anything."""
        return self.row.commit_seq + 1


class Committer:
    """Commits pages to tables. Callers hold the table's lease; its epoch is checked in every transaction."""

    def __init__(self, db: Database, tables: Tables, cpu: asyncio.Semaphore) -> None:
        self._db, self._tables, self._cpu = db, tables, cpu

    async def commit(self, key: TableKey, lease: Lease, pages: Sequence[PageRow]) -> int:
        """Bring the first of the staged pages into the table and record what it changed.

        Where pages before it said nothing new, several that say nothing new are recorded at once. If the commit of
        another page was begun and not recorded, that one is finished instead; the given pages keep their places in
        the queue.

        Returns:
            How many of the given pages are settled.

        Raises:
            HoldfastError: FENCED if another replica took the table; DAMAGED if the staged file is not what was
                announced; UNAVAILABLE if the store does not answer. Nothing is recorded then; try again.
        """
        page = pages[0]
        row, table = await up_to_date(self._db, self._tables, key, lease, page)
        if row.pending_page is None and (passed := await self._passed_over(key, table, pages)):
            await self._record_repeats(lease, table, passed)
            return len(passed)
        begun = row.pending_page not in (None, page.page_id)
        if begun:
            page = await store.get_page(self._db, row.pending_page or "")
        turn = Turn(key, lease, page, row, table)
        try:
            committed = await self._made(turn) or await self._make(turn)
        except BaseException:
            # The handle may be ahead of, or behind, what Postgres knows: read the log again next time.
            self._tables.forget(key)
            raise
        await self._record(turn, committed)
        return 0 if begun else 1

    async def _passed_over(
        self, key: TableKey, table: RecordTable, pages: Sequence[PageRow]
    ) -> list[tuple[PageRow, Counts]]:
        """The leading pages that say nothing new, as far as it is worth looking."""
        staged = [await self._tables.staged(key, page) for page in pages[: table.skims]]
        if not staged:
            return []
        async with self._cpu:
            return list(zip(pages, await asyncio.to_thread(table.unchanged, staged), strict=False))

    async def _record_repeats(self, lease: Lease, table: RecordTable, passed: Sequence[tuple[PageRow, Counts]]) -> None:
        async def work(unit: Unit) -> None:
            await lease.guard(unit)
            for page, counts in passed:
                await store.mark_page(unit, page.page_id, version=table.version, counts=change_counts(counts))

        await self._db.run(COMMIT_RECORDED, work)

    async def _made(self, turn: Turn) -> Committed | None:
        """The commit that was begun before a crash, if it happened."""
        if turn.row.pending_page != turn.page.page_id:
            return None
        made = await asyncio.to_thread(turn.table.committed, turn.number, [turn.page.page_id])
        if made is not None:
            log.info("commit_found", table=str(turn.key), commit_seq=turn.number)
        return made

    async def _make(self, turn: Turn) -> Committed:
        staged = await self._tables.staged(turn.key, turn.page)
        async with self._cpu:
            prepared = await asyncio.to_thread(turn.table.apply, [staged])
        if not prepared.empty:
            await self._reserve(turn)
        async with self._cpu:
            return await asyncio.to_thread(turn.table.commit, prepared, turn.number, turn.row.head)

    async def _reserve(self, turn: Turn) -> None:
        async def work(unit: Unit) -> None:
            await turn.lease.guard(unit)
            if not await store.reserve_commit(unit, turn.key, turn.page.page_id, turn.number):
                raise HoldfastError(Kind.FENCED, f"Commit {turn.number} of {turn.key} is another page's.")

        await self._db.run(NUMBER_RESERVED, work)

    async def _record(self, turn: Turn, committed: Committed) -> None:
        async def work(unit: Unit) -> None:
            await turn.lease.guard(unit)
            if committed.events:
                await self._record_changes(unit, turn, committed)
            else:
                await store.mark_page(
                    unit, turn.page.page_id, version=committed.version, counts=change_counts(committed.counts)
                )
                await store.release_commit(unit, turn.key, turn.page.page_id)

        await self._db.run(COMMIT_RECORDED, work)

    @staticmethod
    async def _record_changes(unit: Unit, turn: Turn, committed: Committed) -> None:
        event = changes_committed(turn.key, turn.page, turn.table.path, turn.number, committed)
        first = await store.mark_page(
            unit,
            turn.page.page_id,
            version=committed.version,
            counts=event.counts,
            commit_seq=turn.number,
            bytes_written=committed.bytes,
        )
        if not first:
            return  # the unit before this repeat was stored, though its answer was lost
        await store.record_commit(
            unit,
            turn.key,
            commit_seq=turn.number,
            version=committed.version,
            chain_head=committed.chain_head.head,
            records=turn.table.index.alive,
        )
        # Everything of a run is correlated by the run's id.
        await enqueue(unit, event, Meta(turn.page.run_id, None, "service:differ"))
