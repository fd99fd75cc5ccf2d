"""A table that is ahead of what Postgres knows: Postgres was restored to an older state, the vault was not."""

from __future__ import annotations

from dataclasses import replace

import structlog

from holdfast.common.failpoints import durable_step
from holdfast.common.leases import Lease
from holdfast.common.meta import Meta
from holdfast.common.outbox import enqueue
from holdfast.common.postgres import Database, Unit
from holdfast.differ import store
from holdfast.differ.announcements import changes_committed
from holdfast.differ.store import PageRow, TableKey, TableRow
from holdfast.differ.tables import Tables
from holdfast.vault.log import LogCommit
from holdfast.vault.table import RecordTable

HEAD_ADOPTED = durable_step("differ.head_adopted")
log = structlog.get_logger(__name__)


async def up_to_date(
    db: Database, tables: Tables, key: TableKey, lease: Lease, first: PageRow | None = None
) -> tuple[TableRow, RecordTable]:
    """The table's row and the table, the row not older than the table but for the one commit that is in flight.

    Commits that Postgres does not know are taken over if they follow, each signed by this installation, the last
    one that it does know. Pages of theirs that Postgres still knows as staged are recorded and announced as
    committed: they are not added a second time.

    Args:
        first: The page that the table is made for, should it not exist yet.

    Raises:
        HoldfastError: DAMAGED if the commits are not ours, or do not follow what is known.
    """
    row = await store.get_table(db, key)
    table = await tables.get(key, row, first)
    ahead = table.head.commit_seq - row.commit_seq
    if ahead <= 0:
        return row, table
    unknown = [commit for commit in await tables.commits_after(key, row, table) if commit.kind == "append"]
    in_flight = {page.page_id for page in unknown[0].pages} if unknown else set()
    if ahead == 1 and row.pending_page in in_flight:
        return row, table
    log.warning("table_ahead_of_database", table=str(key), known=row.commit_seq, found=table.head.commit_seq)
    await _adopt(db, key, lease, row, table, unknown)
    return await store.get_table(db, key), table


async def _adopt(
    db: Database, key: TableKey, lease: Lease, row: TableRow, table: RecordTable, unknown: list[LogCommit]
) -> None:
    async def work(unit: Unit) -> None:
        await lease.guard(unit)
        first = await store.adopt_head(
            unit, key, row.commit_seq, head=table.head, version=table.version, records=table.index.alive
        )
        if first:
            for commit in unknown:
                await _record_pages(unit, key, table.path, commit)

    await db.run(HEAD_ADOPTED, work)


async def _record_pages(unit: Unit, key: TableKey, path: str, commit: LogCommit) -> None:
    committed = commit.committed()
    for counted in commit.pages:
        page = await store.find_page(unit, counted.page_id)
        if page is None:
            continue  # restored to a time before the page was announced, or known as committed
        size = sum(file.bytes for file in commit.files if file.page_id == page.page_id)
        number = committed.chain_head.commit_seq
        event = changes_committed(key, page, path, number, replace(committed, counts=counted.counts))
        await store.mark_page(
            unit,
            page.page_id,
            version=committed.version,
            counts=event.counts,
            commit_seq=number,
            bytes_written=size,
        )
        await enqueue(unit, event, Meta(page.run_id, None, "service:differ"))
