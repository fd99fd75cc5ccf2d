"""Closes an object: says that every page of it is staged, or why it could not be read, and sets its watermark."""

from __future__ import annotations

import structlog

from holdfast.common.contracts.extractor import ObjectExtracted, ObjectFailed
from holdfast.common.contracts.manifest import manifest_hash
from holdfast.common.errors import HoldfastError
from holdfast.common.outbox import enqueue
from holdfast.common.postgres import Database, Record, Unit
from holdfast.extractor import store
from holdfast.extractor.planning import lost_fields, new_mark
from holdfast.extractor.settings import ExtractorSettings
from holdfast.extractor.steps import OBJECT_CLOSED
from holdfast.extractor.store import TaskClaim, sql
from holdfast.vault.schema import RecordSchema

log = structlog.get_logger(__name__)


class Closer:
    """Ends the reading of leased objects, each in one unit."""

    def __init__(self, db: Database, settings: ExtractorSettings) -> None:
        self._db = db
        self._settings = settings

    async def extracted(self, claim: TaskClaim, calls: int) -> None:
        """Close an object whose pages are all staged.

        Args:
            claim: As it was leased; nothing happens if it is closed already.
            calls: API calls that are not in the database yet.

        Raises:
            HoldfastError: FENCED when the lease is lost.
        """

        async def work(unit: Unit) -> None:
            if (await store.lock_task(unit, claim))[0]:
                row = await _close(unit, claim, "extracted", calls)
                await enqueue(unit, await self._extraction(unit, claim, row), claim.run.meta)

        await self._db.run(OBJECT_CLOSED, work)
        log.info("object_extracted", object=claim.object, run_id=str(claim.run.run_id), calls=calls)

    async def failed(self, claim: TaskClaim, error: HoldfastError, calls: int) -> None:
        """Close an object that cannot be read whole."""
        run = claim.run
        event = ObjectFailed(
            run_id=run.run_id,
            job_id=run.job_id,
            run=run.number,
            object=claim.object,
            reason=error.message,
            code=error.code,
        )

        async def work(unit: Unit) -> None:
            if (await store.lock_task(unit, claim))[0]:
                await _close(unit, claim, "failed", calls, error.message, error.code)
                await enqueue(unit, event, run.meta)

        await self._db.run(OBJECT_CLOSED, work)

    async def _extraction(self, unit: Unit, claim: TaskClaim, row: Record) -> ObjectExtracted:
        """What is said of the object; advances its mark."""
        run = claim.run
        # An object read by REST learns the org's time from the Bulk jobs of the same run: not if its closing was
        # put off, since the first job may then be younger than the reading.
        org_time = None if claim.drained else await unit.fetchval(sql.org_time_of_run, run.run_id)
        read_from = row["read_from"] or org_time
        mark = new_mark(row["max_stamp"], read_from, self._settings.extractor_settled_after)
        before = await store.last_schema(unit, claim)
        said = await unit.fetchrow(sql.said_of_task, claim.key)
        assert said is not None  # it was locked in this unit
        await unit.execute(sql.advance_mark, run.job_id, claim.object, run.number, mark)
        pages = await store.manifest_pages(unit, claim.key)
        return ObjectExtracted(
            run_id=run.run_id,
            job_id=run.job_id,
            run=run.number,
            object=claim.object,
            mode=claim.mode,
            pages=len(pages),
            rows=row["rows"],
            manifest=manifest_hash(pages),
            api_calls=row["api_calls"],
            watermark=await unit.fetchval(sql.mark_of, run.job_id, claim.object),
            gaps=lost_fields(before, RecordSchema.from_json(row["schema"].encode()), said["gone"]),  # see renew_schema
            notes=said["notes"],
        )


async def _close(unit: Unit, claim: TaskClaim, state: str, calls: int, reason: str = "", code: str = "") -> Record:
    row = await unit.fetchrow(sql.close_task, claim.key, state, calls, reason, code)
    assert row is not None  # it was locked in this unit
    return row
