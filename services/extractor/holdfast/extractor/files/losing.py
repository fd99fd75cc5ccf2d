"""Pages of bodies that the differ gave up: their files are missing until they are attached again."""

from __future__ import annotations

from uuid import UUID

import structlog

from holdfast.common.contracts.differ import BodiesGivenUp
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.objectstore import ObjectStore
from holdfast.common.postgres import Database, Unit
from holdfast.extractor.files.queueing import sql
from holdfast.extractor.files.steps import BODIES_SET_BACK
from holdfast.vault.blobs import BlobRef

log = structlog.get_logger(__name__)


async def lose_page(unit: Unit, event: BodiesGivenUp) -> None:
    """List the files of a page as missing. Idempotent: only what is attached by that page can be lost with it."""
    await unit.execute(sql.lose_page, event.page_id, event.reason[:1000])


async def set_back(db: Database, objects: ObjectStore) -> bool:
    """Try files of lost pages again, three times between two runs; whether there were any.

    It waits until they are said to be missing, unless their run is not done with its files anyway. A body that is
    stored is attached again; one that is not, or not whole, is fetched again.
    """
    pages = await db.fetch(sql.lost_pages)
    for page in pages:
        await _set_back(db, objects, page["page_id"], page["job_id"])
    return bool(pages)


async def _set_back(db: Database, objects: ObjectStore, page_id: str, job_id: UUID) -> None:
    files = await db.fetch(sql.files_of_lost_page, page_id)
    ids = [row["file_id"] for row in files]
    there = [await _stored(objects, job_id, row["sha256"], row["bytes"]) for row in files]

    async def work(unit: Unit) -> None:
        await unit.execute(sql.set_back, page_id, ids, there)

    await db.run(BODIES_SET_BACK, work)
    log.info("bodies_set_back", page_id=page_id, files=len(ids), stored=sum(there))


async def _stored(objects: ObjectStore, job_id: UUID, sha256: str | None, size: int) -> bool:
    if sha256 is None:
        return False
    try:
        return await objects.size(BlobRef(sha256, size).key(str(job_id))) == size
    except HoldfastError as error:
        if error.kind is not Kind.NOT_FOUND:
            raise
        return False
