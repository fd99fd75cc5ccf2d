"""When an object is complete: its manifest is matched page by page, and `object.diffed` says so."""

from __future__ import annotations

import asyncio
from functools import reduce

import structlog

from holdfast.common.contracts.differ import ChangeCounts, ObjectDiffed
from holdfast.common.contracts.manifest import manifest_hash
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import durable_step
from holdfast.common.leases import Lease
from holdfast.common.meta import Meta
from holdfast.common.objectstore import ObjectStore
from holdfast.common.outbox import enqueue
from holdfast.common.postgres import Database, Unit
from holdfast.differ import store
from holdfast.differ.adopting import up_to_date
from holdfast.differ.store import DiffedPage, ManifestRow, TableKey
from holdfast.differ.tables import Tables
from holdfast.vault.table import RecordTable

OBJECT_DIFFED = durable_step("differ.object_diffed")
STAGING_CLEARED = durable_step("differ.staging_cleared")
log = structlog.get_logger(__name__)


class Completer:
    """Declares objects complete. Callers hold the table's lease."""

    def __init__(self, db: Database, tables: Tables, objects: ObjectStore) -> None:
        self._db, self._tables, self._objects = db, tables, objects

    async def complete(self, key: TableKey, lease: Lease, manifest: ManifestRow) -> None:
        """Publish `object.diffed` for a manifest whose pages are all committed, once.

        Raises:
            HoldfastError: DAMAGED if the pages are not those of the manifest, or the table lacks a commit.
        """
        pages = await store.pages_of_object(self._db, manifest.run_id, key.object)
        if manifest_hash(pages) != manifest.sha256:
            raise HoldfastError(
                Kind.DAMAGED,
                f"The pages of {key.object} in run {manifest.run} are not those that were read.",
                code="manifest-mismatch",
            )
        row, table = await up_to_date(self._db, self._tables, key, lease)
        if row.head is not None:
            # Without pages nothing else would notice that the table was rolled back, replaced or lost.
            await asyncio.to_thread(table.require_head, row.head)
        unseen = await self._unseen(key, manifest, pages, table)
        await asyncio.to_thread(table.save_index)
        event = ObjectDiffed(
            job_id=key.job_id,
            run_id=manifest.run_id,
            run=manifest.run,
            object=key.object,
            table=table.path,
            version=table.version,
            chain_head=table.head.head,
            rows_read=manifest.rows,
            bytes_written=sum(page.bytes_written for page in pages),
            counts=_total(pages, unseen),
            gaps=[*manifest.gaps, *_gaps(unseen), *await self._lost_before(key, manifest)],
        )
        await self._publish(key, lease, manifest, event)
        await self._clear_staging(key, pages)

    async def _unseen(self, key: TableKey, manifest: ManifestRow, pages: list[DiffedPage], table: RecordTable) -> int:
        """Living records that a full read did not return. They are not deleted without evidence.

        A baseline is one too: where an earlier one was interrupted, its records may be gone by now.
        """
        these = {page.page_id for page in pages}
        if manifest.mode == "incremental" or all(
            file.page_id in these for file in table.index.files if file.mode != "bodies"
        ):
            return 0
        if not pages:
            return table.index.alive
        rows = [await store.get_page(self._db, page.page_id) for page in pages]
        staged = [await self._tables.staged(key, row) for row in rows]
        return (await asyncio.to_thread(table.unseen, staged)).count

    async def _lost_before(self, key: TableKey, manifest: ManifestRow) -> list[str]:
        """What this run cannot make good: it was planned before the extractor heard of an object's loss."""
        lost = None if manifest.mode != "incremental" else await store.open_loss(self._db, key, manifest.run)
        if lost is None:
            return []
        return [
            f"What run {lost} read of {key.object} could not be added to the backup, and this run was planned before "
            "that was known: those changes are missing until a later run has read everything again."
        ]

    async def _publish(self, key: TableKey, lease: Lease, manifest: ManifestRow, event: ObjectDiffed) -> None:
        meta = Meta(correlation_id=manifest.correlation_id, causation_id=None, actor="service:differ")

        async def work(unit: Unit) -> None:
            await lease.guard(unit)
            if await store.mark_diffed(unit, manifest.run_id, key.object):
                await enqueue(unit, event, meta)

        await self._db.run(OBJECT_DIFFED, work)
        log.info("object_diffed", table=str(key), run=manifest.run, counts=event.counts.model_dump())

    async def _clear_staging(self, key: TableKey, pages: list[DiffedPage]) -> None:
        """Compared pages have done their work; baseline pages are the table's own files and stay."""
        prefix = f"{key.job_id}/staging/"
        done = [page.path for page in pages if page.path.startswith(prefix)]
        if done:
            await self._objects.delete(done, STAGING_CLEARED)


def _total(pages: list[DiffedPage], unseen: int) -> ChangeCounts:
    total = reduce(_add, (page.counts for page in pages), ChangeCounts())
    return total.model_copy(update={"unseen": unseen})


def _add(left: ChangeCounts, right: ChangeCounts) -> ChangeCounts:
    return ChangeCounts(**{name: getattr(left, name) + getattr(right, name) for name in ChangeCounts.model_fields})


def _gaps(unseen: int) -> list[str]:
    if not unseen:
        return []
    records = "record that is" if unseen == 1 else "records that are"
    return [
        f"A full read did not return {unseen:,} {records} in the backup, and nothing shows a deletion: "
        "kept as they were, not marked deleted."
    ]
