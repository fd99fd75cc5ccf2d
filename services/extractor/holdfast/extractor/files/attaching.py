"""Says of stored bodies which records they belong to: pages of bodies, announced like all pages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from uuid import uuid4

import structlog

from holdfast.common.contracts.extractor import FilesSettled, PageStaged
from holdfast.common.objectstore import ObjectStore
from holdfast.common.outbox import enqueue
from holdfast.common.postgres import Database, Record, Unit
from holdfast.extractor.files.losing import set_back
from holdfast.extractor.files.queueing import sql
from holdfast.extractor.files.steps import BODIES_ANNOUNCED, BODIES_GATHERED, BODIES_STORED, FILES_SETTLED
from holdfast.extractor.store import Run
from holdfast.vault.blobs import BlobRef
from holdfast.vault.bodies import body_schema, images_schema, write_bodies
from holdfast.vault.page import PageMeta, StagedPage, page_key
from holdfast.vault.schema import schema_key

log = structlog.get_logger(__name__)

# Each page is a commit; a body's row is 150 bytes.
PAGE_BODIES = 10_000
# Pages of bodies come after all pages of records of their run, however many passes those take.
FIRST_SEQ = 1_000_000


class Attacher:
    """Gathers stored bodies into pages. Several processes may do so at once: rows are taken by one of them."""

    def __init__(self, db: Database, objects: ObjectStore, scratch: Path, after: timedelta) -> None:
        """Make an attacher.

        Args:
            scratch: A folder for files that are being written.
            after: So long a stored body waits for others, while files of its run are still fetched.
        """
        self._db, self._objects, self._scratch, self._after = db, objects, scratch, after

    async def attach(self) -> bool:
        """Gather what is ready, announce every open page, and set lost ones back; whether there was anything."""
        for row in await self._db.fetch(sql.ready_groups, PAGE_BODIES, self._after):
            await self._gather(row)
        pages = await self._db.fetch(sql.open_pages)
        for page in pages:
            await self._announce(page)
        for row in await self._db.fetch(sql.settled_runs):
            await self._db.run(FILES_SETTLED, lambda unit, row=row: _settled(unit, Run.of(row)))  # type: ignore[misc]
        return await set_back(self._db, self._objects) or bool(pages)

    async def _gather(self, group: Record) -> None:
        page_id = uuid4().hex
        # The images of one text share a cell, so that no page may end between them.
        most = 100 * PAGE_BODIES if group["images"] else PAGE_BODIES
        head = (group["run_id"], group["object"], group["field"])

        async def work(unit: Unit) -> None:
            await unit.execute(sql.gather_page, page_id, *head, most, group["images"], FIRST_SEQ)

        await self._db.run(BODIES_GATHERED, work)

    async def _announce(self, row: Record) -> None:
        run, meta = Run.of(row), _meta(row)
        bodies = await self._db.fetch(sql.bodies_of_page, meta.page_id)
        if not bodies:
            return  # another process has announced it by now
        page = await asyncio.to_thread(_written, bodies, meta, self._scratch / f"{meta.page_id}-{uuid4().hex}.parquet")
        schema = meta.schema
        await self._objects.put_new(schema_key(meta.job_id, schema.schema_id), schema.to_json(), BODIES_STORED)
        key = page_key(meta, page.sha256)
        await self._objects.move_new(page.path, key, BODIES_STORED)

        async def work(unit: Unit) -> None:
            if await unit.fetchval(sql.page_staged, meta.page_id) is None:
                return  # announced already: by another process, or by the unit before this repeat
            await unit.execute(sql.attach_files, meta.page_id)
            await enqueue(unit, _announcement(run, meta, page, key), run.meta)

        await self._db.run(BODIES_ANNOUNCED, work)
        log.info("bodies_announced", object=meta.object, run_id=str(run.run_id), bodies=page.rows)


async def _settled(unit: Unit, run: Run) -> None:
    """Say that no file of a run is left to fetch, and which are missing and why."""
    row = await unit.fetchrow(sql.say_settled, run.run_id)
    if row is None:
        return  # said already, or there is more to fetch again
    reasons = await unit.fetch(sql.reasons_of_run, run.run_id)
    event = FilesSettled(
        run_id=run.run_id,
        job_id=run.job_id,
        run=run.number,
        files=row["queued"],
        stored=row["stored"],
        failed=row["failed"],
        bytes=row["bytes"],
        missing=[sentence(reason) for reason in reasons if reason["missing"]],
        doubted=[sentence(reason) for reason in reasons if not reason["missing"]],
    )
    await enqueue(unit, event, run.meta)


def sentence(reason: Record) -> str:
    """Why files of one field are missing or doubtful, in words."""
    one = reason["files"] == 1
    files = f"{reason['object']} {reason['record_id']}" if one else f"{reason['files']:,} files of {reason['object']}"
    return f"{files} ({reason['field']}): {reason['reason']}"


def _meta(row: Record) -> PageMeta:
    schema = (images_schema if row["images"] else body_schema)(row["object"], row["field"])
    return PageMeta(
        str(row["job_id"]), row["object"], row["run"], row["seq"], row["page_id"], "bodies", schema, row["made_at"]
    )


def _written(bodies: Sequence[Record], meta: PageMeta, out: Path) -> StagedPage:
    out.parent.mkdir(parents=True, exist_ok=True)
    ids, stamps, texts = [], [], []
    for (record_id, stamp), group in groupby(bodies, key=lambda row: (row["record_id"], row["stamp"])):
        ids.append(record_id)
        stamps.append(stamp)
        texts.append("\n".join(_line(row) for row in group))
    return write_bodies(ids, stamps, texts, meta, out)


def _line(row: Record) -> str:
    text = BlobRef(row["sha256"], row["bytes"]).text
    return f"{row['part']} {text}" if row["part"] else text


def _announcement(run: Run, meta: PageMeta, page: StagedPage, key: str) -> PageStaged:
    return PageStaged(
        page_id=meta.page_id,
        run_id=run.run_id,
        job_id=run.job_id,
        run=run.number,
        object=meta.object,
        mode="bodies",
        seq=meta.seq,
        path=key,
        rows=page.rows,
        bytes=page.bytes,
        sha256=page.sha256,
        schema_id=meta.schema.schema_id,
    )
