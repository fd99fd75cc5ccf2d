"""Gathers what an object's outcome is decided by: the table, held against what the org said."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from holdfast.common.postgres import Database
from holdfast.differ import store
from holdfast.differ.proving import Facts, horizon
from holdfast.differ.store import DiffedPage, ManifestRow, TableKey
from holdfast.differ.tables import Tables
from holdfast.vault.census import Comparison, Listing, absent_keys, census, compare, reading
from holdfast.vault.record_id import holds_keyed
from holdfast.vault.refs import StagedRef
from holdfast.vault.table import RecordTable

_OBSERVATIONS = ("baseline", "incremental", "full")


@dataclass(frozen=True)
class Weighed:
    """The facts, and the list that the table was held against; None where there was none to hold it against."""

    facts: Facts
    listing: Listing | None


class Scales:
    """Callers hold the table's lease, and every page of the manifest is committed."""

    def __init__(self, db: Database, tables: Tables, most_passes: int, within: timedelta) -> None:
        """Make scales.

        Args:
            within: So far back count the records that vanished.
        """
        self._db, self._tables, self._most_passes, self._within = db, tables, most_passes, within

    async def weigh(self, key: TableKey, manifest: ManifestRow, pages: list[DiffedPage], table: RecordTable) -> Weighed:
        """Hold the table against what the manifest's newest pass brought.

        Args:
            pages: Those of the manifest, in its order.

        Raises:
            HoldfastError: NOT_FOUND, DAMAGED: a page that is needed is gone or rotten.
        """
        listing = await self._listing(key, manifest, pages, table)
        said = manifest.extracted
        bounds = horizon(said, manifest.earlier)
        compared = await asyncio.to_thread(compare, listing, bounds) if listing else None
        keyed = holds_keyed(table.index.prefixes)
        facts = Facts(
            extracted=said,
            earlier=manifest.earlier,
            alive=table.index.alive,
            stamped=table.index.stamped,
            organization_id=await store.organization_of_job(self._db, key.job_id),
            compared=compared,
            lost=await self._lost_before(key, manifest) or _overtaken(key, manifest, table, compared),
            most_passes=self._most_passes,
            vanished=await store.vanished_lately(self._db, key, self._within),
            keyed=keyed,
            agreed=keyed and await self._agreed(key, manifest, pages, table, listing),
        )
        return Weighed(facts, listing)

    async def _listing(
        self, key: TableKey, manifest: ManifestRow, pages: list[DiffedPage], table: RecordTable
    ) -> Listing | None:
        """The pass's census; for a whole reading else the records that its pages hold."""
        if manifest.extracted.census is not None:
            before = manifest.earlier[-1].pages if manifest.earlier else 0
            lists = await self._staged(key, [page for page in pages[before:] if page.mode == "census"])
            return await asyncio.to_thread(census, self._tables.root, lists, table.index)
        these = {page.page_id for page in pages}
        alone = all(file.page_id in these for file in table.index.files if file.mode != "bodies")
        if manifest.mode == "incremental" or alone:
            return None  # a table of these pages alone holds nobody whom they do not
        read = await self._staged(key, [page for page in pages if page.mode in _OBSERVATIONS])
        return await asyncio.to_thread(reading, self._tables.root, read, table.index)

    async def _agreed(
        self, key: TableKey, manifest: ManifestRow, pages: list[DiffedPage], table: RecordTable, listing: Listing | None
    ) -> bool:
        """Whether the run listed the object twice, as a whole, and neither list has what the other lacks."""
        if listing is None or manifest.extracted.census is None or manifest.mode == "incremental":
            return False
        read = await self._staged(key, [page for page in pages if page.mode in _OBSERVATIONS])

        def same() -> bool:
            return absent_keys(reading(self._tables.root, read, table.index)).equals(absent_keys(listing))

        return await asyncio.to_thread(same)

    async def _staged(self, key: TableKey, pages: list[DiffedPage]) -> list[StagedRef]:
        rows = [await store.get_page(self._db, page.page_id) for page in pages]
        return [await self._tables.staged(key, row) for row in rows]

    async def _lost_before(self, key: TableKey, manifest: ManifestRow) -> str:
        """What this run cannot make good: it was planned before the extractor heard of an object's loss."""
        lost = None if manifest.mode != "incremental" else await store.open_loss(self._db, key, manifest.run)
        if lost is None:
            return ""
        return (
            f"What run {lost} read of {key.object} could not be added to the backup, and this run was planned before "
            "that was known: those changes are missing until a later run has read everything again."
        )


def _overtaken(key: TableKey, manifest: ManifestRow, table: RecordTable, compared: Comparison | None) -> str:
    """Why absence says nothing: the run was cancelled, and the one after it has brought records of its own since."""
    later = max((file.run for file in table.index.files if file.mode != "bodies"), default=0)
    if compared is None or not compared.absent.count or later <= manifest.run:
        return ""
    return f"Run {later} had begun to add to {key.object} before this one could be held against the org."
