"""Plans a run: asks the org what it holds, decides how each object is read, and says so.

Ends in one unit: task rows and `ExtractionPlanned`, in pages (with an `ObjectFailed` for each object that cannot be
read), or `ExtractionRefused` with a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from holdfast.common.clock import Ids
from holdfast.common.contracts.extractor import (
    ExtractionPlanned,
    ExtractionRefused,
    ObjectFailed,
    PlannedObject,
)
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.outbox import enqueue
from holdfast.common.postgres import Database, Unit
from holdfast.common.wakeup import Signal
from holdfast.extractor import store
from holdfast.extractor.budget import spend_for
from holdfast.extractor.drafting import NOTHING_SELECTED, Drafter, Plan, Wanted
from holdfast.extractor.estimates import estimate
from holdfast.extractor.files.queueing import files_planned
from holdfast.extractor.identities import Failure
from holdfast.extractor.org import Orgs, count_calls
from holdfast.extractor.patience import Patience
from holdfast.extractor.steps import RUN_PLANNED
from holdfast.extractor.store import RunClaim, sql

# Of each, objects and notes: about 90 KB and 100 KB where names are as long as can be.
PLAN_PAGE = 500
log = structlog.get_logger(__name__)


class Planner:
    """Works on runs that wait for a plan."""

    def __init__(
        self,
        *,
        db: Database,
        orgs: Orgs,
        drafter: Drafter,
        ids: Ids,
        patience: Patience,
        wake_workers: Signal,
    ) -> None:
        self._db = db
        self._orgs = orgs
        self._drafter = drafter
        self._ids = ids
        self._patience = patience
        self._wake_workers = wake_workers

    async def plan(self, claim: RunClaim) -> None:
        """Plan one run, or refuse it, or put it off."""
        counter = count_calls()
        spend_for(claim.run.job_id, claim.run.api_limit_percent)
        try:
            wanted = Wanted(claim.run.job_id, claim.run.connection_id, claim.selection, claim.full)
            plan = await self._drafter.draft(wanted)
            found = estimate(plan.objects, plan.censuses, await self._drafter.facts(wanted, plan.counts))
            costs = found.with_share()
            if not plan.objects and not plan.failed:
                await self._refuse(claim, " ".join(plan.found.notes) or NOTHING_SELECTED, counter.calls)
            else:
                await self._db.run(RUN_PLANNED, lambda unit: self._record(unit, claim, plan, costs, counter.calls))
        except HoldfastError as error:
            await self._settle(claim, error, counter.calls)
        except Exception as error:
            log.exception("planning_broke", run_id=str(claim.key))
            broken = HoldfastError(Kind.INTERNAL, f"Planning failed inside Holdfast: {type(error).__name__}.")
            await self._settle(claim, broken, counter.calls)
        await self._orgs.ledger.report()

    async def _settle(self, claim: RunClaim, error: HoldfastError, calls: int) -> None:
        if error.kind is Kind.FENCED:
            return
        pause = self._patience.pause(error, await store.run_failures(self._db, claim))
        if pause is not None:
            log.warning("plan_postponed", run_id=str(claim.key), error=error.message, detail=error.detail)
            await store.postpone(self._db, claim, pause, calls, error)
        else:
            await self._refuse(claim, error.message, calls)

    async def _record(self, unit: Unit, claim: RunClaim, plan: Plan, costs: Mapping[str, int], calls: int) -> None:
        if not await store.lock_run(unit, claim):
            return
        await unit.execute(sql.end_planning, claim.key, "planned", "", calls)
        await unit.executemany(sql.keep_describe, plan.describes)
        await unit.executemany(sql.add_task, self._task_rows(claim, plan, costs))
        await files_planned(unit, claim.run, plan.files)
        for announcement in _announcements(claim, plan, costs):
            await enqueue(unit, announcement, claim.run.meta)
        for name, failure in plan.failed.items():
            await enqueue(unit, _failed(claim, name, failure), claim.run.meta)
        await self._record_findings(unit, claim, plan)
        unit.after_commit(self._wake_workers.set)

    async def _record_findings(self, unit: Unit, claim: RunClaim, plan: Plan) -> None:
        run, found = claim.run, plan.found
        said = [
            (run.run_id, name, shape.to_json(), list(found.drifts[name].notes), sorted(found.drifts[name].gone))
            for name, shape in found.shapes.items()
        ]
        await unit.executemany(sql.say_of_task, said)
        await store.keep_field_ids(unit, run.connection_id, found.field_ids)
        await unit.execute(sql.forget_vanished, run.job_id, list(plan.objects))
        await unit.executemany(sql.note_vanished, [(run.job_id, name, run.number) for name in found.vanished])

    def _task_rows(self, claim: RunClaim, plan: Plan, costs: Mapping[str, int]) -> list[tuple[object, ...]]:
        rows: list[tuple[object, ...]] = []
        for name, planned in plan.objects.items():
            how = (planned.mode, planned.strategy, planned.estimated_rows, costs[name])
            schema = planned.schema.to_json().decode()
            rows.append(
                (
                    self._ids.new(),
                    claim.key,
                    name,
                    *how,
                    schema,
                    planned.since,
                    "waiting",
                    "",
                    "",
                    name in plan.censuses,
                )
            )
        for name, failure in plan.failed.items():
            how = ("baseline", "rest", 0, 0)
            rows.append(
                (self._ids.new(), claim.key, name, *how, "", None, "failed", failure.reason, failure.code, False)
            )
        return rows

    async def _refuse(self, claim: RunClaim, reason: str, calls: int) -> None:
        event = ExtractionRefused(run_id=claim.run.run_id, job_id=claim.run.job_id, run=claim.run.number, reason=reason)

        async def work(unit: Unit) -> None:
            if await store.lock_run(unit, claim):
                await unit.execute(sql.end_planning, claim.key, "refused", reason, calls)
                await enqueue(unit, event, claim.run.meta)

        log.info("run_refused", run_id=str(claim.key), reason=reason)
        await self._db.run(RUN_PLANNED, work)


def _announcements(claim: RunClaim, plan: Plan, costs: Mapping[str, int]) -> list[ExtractionPlanned]:
    """The plan, in as many events as it takes for each to be small enough."""
    planned = [
        PlannedObject(
            object=name,
            mode=how.mode,
            strategy=how.strategy,
            estimated_rows=how.estimated_rows,
            estimated_calls=costs[name],
        )
        for name, how in plan.objects.items()
    ]
    failed = [
        PlannedObject(object=name, mode="baseline", strategy="rest", estimated_rows=0, estimated_calls=0)
        for name in plan.failed
    ]
    run, objects, notes = claim.run, planned + failed, plan.found.notes
    pages = max(1, -(-max(len(objects), len(notes)) // PLAN_PAGE))
    return [
        ExtractionPlanned(
            run_id=run.run_id,
            job_id=run.job_id,
            run=run.number,
            objects=objects[page * PLAN_PAGE : (page + 1) * PLAN_PAGE],
            notes=notes[page * PLAN_PAGE : (page + 1) * PLAN_PAGE],
            page=page + 1,
            pages=pages,
        )
        for page in range(pages)
    ]


def _failed(claim: RunClaim, name: str, failure: Failure) -> ObjectFailed:
    run = claim.run
    return ObjectFailed(
        run_id=run.run_id,
        job_id=run.job_id,
        run=run.number,
        object=name,
        reason=failure.reason,
        code=failure.code,
    )
