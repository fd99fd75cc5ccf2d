"""The record feed: changed records of each commit, in batches, with a cursor per table."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import polars as pl

from holdfast.common.contracts.differ import RecordChanged
from holdfast.common.failpoints import durable_step
from holdfast.common.leases import Lease
from holdfast.common.messaging import Bus
from holdfast.common.postgres import Database, Unit
from holdfast.differ import store
from holdfast.differ.store import TableKey
from holdfast.vault.feed import CommitChanges, changes_between
from holdfast.vault.location import VaultRoot, table_key

FEED_SENT = durable_step("differ.feed_sent")
FEED_ADVANCED = durable_step("differ.feed_advanced")
HEADERS = {"ce_specversion": "1.0", "ce_type": RecordChanged.TYPE, "content-type": "application/json"}
Message = tuple[bytes, bytes, Mapping[str, str]]


class Feeder:
    """Sends what the tables gained since the cursor. At least once: a repeat carries the same event id."""

    def __init__(self, db: Database, bus: Bus, root: VaultRoot) -> None:
        self._db, self._bus, self._root = db, bus, root

    async def feed(self, key: TableKey, lease: Lease) -> None:
        """Bring the feed up to the table's last recorded commit."""
        row = await store.get_table(self._db, key)
        if row.fed_seq >= row.commit_seq or row.pending_page is not None:
            return
        organization = await store.organization_of_job(self._db, key.job_id)
        if not organization:
            return  # its id is part of the key: without it order could not be kept; it is due once it is known
        gained = await asyncio.to_thread(
            list, changes_between(self._root, str(key.job_id), key.object, row.fed_seq, row.commit_seq)
        )
        for commit in gained:
            messages = await asyncio.to_thread(feed_messages, key, organization, commit)
            await self._bus.send_batch(RecordChanged.topic(), messages, FEED_SENT)
        if gained:
            await self._advance(key, lease, gained[-1].commit_seq)

    async def _advance(self, key: TableKey, lease: Lease, commit_seq: int) -> None:
        async def work(unit: Unit) -> None:
            await lease.guard(unit)
            await store.advance_feed(unit, key, commit_seq)

        await self._db.run(FEED_ADVANCED, work)


def feed_messages(key: TableKey, organization: str, commit: CommitChanges) -> list[Message]:
    """The commit's changes as (key, value, headers), in order of events; the JSON is made by column."""
    if commit.changes.is_empty():
        return []
    table = table_key(str(key.job_id), key.object)
    values = commit.changes.select(
        pl.struct(
            organization_id=pl.lit(organization),
            job_id=pl.lit(str(key.job_id)),
            run=pl.col("_run"),
            object=pl.lit(key.object),
            record_id=pl.col("_record_id"),
            operation=pl.col("_op"),
            changed_fields=pl.col("_changed").fill_null(pl.lit([], dtype=pl.List(pl.String))),
            modified_at=pl.col("_modified_at").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"),
            event_id=pl.col("_event_id"),
            table=pl.lit(table),
            version=pl.lit(commit.version),
        ).struct.json_encode()
    ).to_series()
    rows = zip(commit.changes["_record_id"], commit.changes["_event_id"], values, strict=True)
    fixed = {**HEADERS, "ce_source": f"/{table}"}
    return [
        (f"{organization}/{record_id}".encode(), value.encode(), {**fixed, "ce_id": event_id})
        for record_id, event_id, value in rows
    ]
