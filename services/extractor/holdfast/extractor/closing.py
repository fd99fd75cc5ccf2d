"""Closes a pass over an object: says that every page of it is staged and what the org says of the object then.

Or why it could not be read. Sets the watermark.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from holdfast.common.clock import Clock
from holdfast.common.contracts.extractor import Census, ObjectExtracted, ObjectFailed, OrgCount, View
from holdfast.common.contracts.manifest import manifest_hash
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.outbox import enqueue
from holdfast.common.postgres import Database, Record, Unit
from holdfast.extractor import store
from holdfast.extractor.counting import Counted, Counter
from holdfast.extractor.planning import lost_fields, new_mark
from holdfast.extractor.settings import ExtractorSettings
from holdfast.extractor.steps import OBJECT_CLOSED
from holdfast.extractor.store import TaskClaim, sql
from holdfast.extractor.views import Earlier, Rights, Views, view_of
from holdfast.vault.census import added_up
from holdfast.vault.schema import RecordSchema

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Findings:
    """What the org said after the last page.

    Attributes:
        rights: Who looks; None if the org did not say.
        listed: The pass was a census, and is whole.
        read: Every record that was to be read was, so that the mark may follow.
    """

    counted: Counted
    rights: Rights | None = None
    listed: bool = False
    read: bool = True


class Closer:
    """Ends passes over leased objects, each in one unit."""

    def __init__(self, db: Database, counter: Counter, views: Views, settings: ExtractorSettings, clock: Clock) -> None:
        self._db = db
        self._counter = counter
        self._views = views
        self._settings = settings
        self._clock = clock

    async def find(self, claim: TaskClaim, count: OrgCount | None) -> Findings:
        """Ask the org how many living records there are, and who looks.

        Args:
            count: A count that came after the last page of records; None to ask for one.

        Raises:
            HoldfastError: When the org does not answer.
        """
        # What is absent from a whole list is judged by what the user saw at its end, not at its beginning.
        anew = claim.part == "census" or claim.mode == "full"
        run = claim.run
        look = self._views.look(run.connection_id, run.run_id, anew=anew)
        # What is absent from a list of the living is held against a count made after the list, never before it.
        after = count if claim.part == "records" else None
        counted, rights = await asyncio.gather(self._counted(claim, after), look, return_exceptions=True)
        if isinstance(counted, BaseException):
            counted = Counted(None, f"Salesforce did not count {claim.object}: {_refusal(counted).message}")
        if isinstance(rights, BaseException):
            log.warning("nobody_said_who_looks", object=claim.object, error=_refusal(rights).message)
            return Findings(counted, None, claim.part == "census")
        return Findings(counted, rights, claim.part == "census")

    async def _counted(self, claim: TaskClaim, count: OrgCount | None) -> Counted:
        return await self._counter.count(claim) if count is None else Counted(count)

    async def extracted(self, claim: TaskClaim, found: Findings, calls: Callable[[], int]) -> None:
        """Close a pass whose pages are all staged.

        Args:
            claim: As it was leased; nothing happens if the pass is closed already.
            calls: API calls that are not in the database yet.

        Raises:
            HoldfastError: FENCED when the lease is lost.
        """

        async def work(unit: Unit) -> None:
            if (await store.lock_task(unit, claim))[0]:
                row = await _close(unit, claim, "extracted", calls())
                await enqueue(unit, await self._extraction(unit, claim, row, found), claim.run.meta)

        await self._db.run(OBJECT_CLOSED, work)
        log.info("object_extracted", object=claim.object, run_id=str(claim.run.run_id), calls=calls())

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

    async def _extraction(self, unit: Unit, claim: TaskClaim, row: Record, found: Findings) -> ObjectExtracted:
        """What is said of the object; advances its mark."""
        run = claim.run
        # An object read by REST learns the org's time from the Bulk jobs of the same run: not if its closing was
        # put off, since the first job may then be younger than the reading.
        # Later passes do not ask: what they find was there to be found by the first.
        late = claim.drained or claim.pass_number > 1 or claim.part != "records"
        org_time = None if late else await unit.fetchval(sql.org_time_of_run, run.run_id)
        read_from = row["read_from"] or org_time
        mark = new_mark(row["max_stamp"], read_from, self._settings.extractor_settled_after) if found.read else None
        before = await store.last_schema(unit, claim)
        said = await unit.fetchrow(sql.said_of_task, claim.key)
        assert said is not None  # it was locked in this unit
        await unit.execute(sql.advance_mark, run.job_id, claim.object, run.number, mark)
        now = self._clock.now()
        if claim.mode != "incremental" and claim.pass_number == 1:
            await unit.execute(sql.note_whole, run.job_id, claim.object, now)
        if found.listed:
            await unit.execute(sql.note_census, run.job_id, claim.object, now, claim.key)
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
            pass_number=claim.pass_number,
            purpose=claim.purpose,
            count=found.counted.count,
            not_counted=found.counted.not_counted,
            view=await _view(unit, claim, found.rights) if found.rights else None,
            census=await _census(unit, claim) if found.listed else None,
            closed_at=now,
        )


async def _census(unit: Unit, claim: TaskClaim) -> Census:
    pages = await unit.fetch(sql.census_sums, claim.key, claim.part_from_seq)
    return Census(
        records=sum(page["rows"] for page in pages),
        ids=added_up([page["id_sum"] for page in pages]) or f"{0:016x}",
        stamps=added_up([page["stamp_sum"] for page in pages]),
    )


def _refusal(error: BaseException) -> HoldfastError:
    """The error, if asking again would not help; else it is raised."""
    if isinstance(error, HoldfastError) and not error.transient and error.kind is not Kind.INTERNAL:
        return error
    raise error


async def _view(unit: Unit, claim: TaskClaim, rights: Rights) -> View:
    """What the look is worth, compared with the last whole reading before this run; keeps who looked at this one."""
    run = claim.run
    row = await unit.fetchrow(sql.earlier_evidence, run.job_id, claim.object, run.number)
    earlier = None if row is None else Earlier(row["organization_id"], row["user_id"], row["rights"])
    if claim.mode != "incremental" and claim.pass_number == 1:
        who = (rights.organization_id, rights.user_id, rights.text(claim.object))
        await unit.execute(sql.keep_evidence, run.job_id, claim.object, run.number, *who)
    return view_of(claim.object, rights, earlier)


async def _close(unit: Unit, claim: TaskClaim, state: str, calls: int, reason: str = "", code: str = "") -> Record:
    row = await unit.fetchrow(sql.close_task, claim.key, state, calls, reason, code)
    assert row is not None  # it was locked in this unit
    return row
