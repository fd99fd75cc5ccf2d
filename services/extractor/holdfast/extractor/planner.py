"""Plans a run: asks the org what it holds, decides how each object is read, and says so.

Ends in one unit: task rows and `ExtractionPlanned` (with an `ObjectFailed` for each object that cannot be
read), or `ExtractionRefused` with a sentence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from holdfast.common.clock import Clock, Ids
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
from holdfast.extractor.describing import describe_all
from holdfast.extractor.drift import Drift
from holdfast.extractor.drifting import Findings, look, under_known_names
from holdfast.extractor.files.fields import FileField, file_fields
from holdfast.extractor.files.queueing import files_planned
from holdfast.extractor.org import Orgs, count_calls
from holdfast.extractor.passes import listable
from holdfast.extractor.patience import Patience
from holdfast.extractor.planning import Chosen, Known, ObjectPlan, choose, plan_object
from holdfast.extractor.schedule import census_due, scan_due
from holdfast.extractor.settings import ExtractorSettings
from holdfast.extractor.steps import RUN_PLANNED
from holdfast.extractor.store import RunClaim, sql
from holdfast.salesforce.client import SalesforceClient
from holdfast.salesforce.models import Describe

log = structlog.get_logger(__name__)

NOTHING_SELECTED = (
    "The org has no recommended object with records, so there is nothing to back up. "
    "Select objects by name, or check what the connected user may see."
)


@dataclass(frozen=True)
class Failure:
    """Why an object will not be read."""

    reason: str
    code: str


@dataclass
class Plan:
    """What a run reads, what it cannot read, and describes worth keeping."""

    objects: dict[str, ObjectPlan] = field(default_factory=dict)
    failed: dict[str, Failure] = field(default_factory=dict)
    describes: list[tuple[UUID, str, str, str]] = field(default_factory=list)
    found: Findings = field(default_factory=Findings)
    files: dict[str, list[FileField]] = field(default_factory=dict)
    censuses: set[str] = field(default_factory=set)


class Planner:
    """Works on runs that wait for a plan."""

    def __init__(
        self,
        *,
        db: Database,
        orgs: Orgs,
        settings: ExtractorSettings,
        ids: Ids,
        clock: Clock,
        patience: Patience,
        wake_workers: Signal,
    ) -> None:
        self._db = db
        self._orgs = orgs
        self._settings = settings
        self._ids = ids
        self._clock = clock
        self._patience = patience
        self._wake_workers = wake_workers

    async def plan(self, claim: RunClaim) -> None:
        """Plan one run, or refuse it, or put it off."""
        counter = count_calls()
        spend_for(claim.run.job_id, claim.run.api_limit_percent)
        try:
            plan = await self._make(claim)
            if not plan.objects and not plan.failed:
                await self._refuse(claim, " ".join(plan.found.notes) or NOTHING_SELECTED, counter.calls)
            else:
                await self._db.run(RUN_PLANNED, lambda unit: self._record(unit, claim, plan, counter.calls))
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

    async def _make(self, claim: RunClaim) -> Plan:
        client = await self._orgs.client(claim.run.connection_id, ask_again=True)
        known = await store.known_objects(self._db, claim.run.job_id)
        whole = self._due(claim, known)
        offered, counts = await asyncio.gather(client.describe_global(), self._counts(client, claim, known, whole))
        there = {entry.name.lower() for entry in offered}
        silent = {
            name for name in await store.vanished_objects(self._db, claim.run.job_id) if name.lower() not in there
        }
        chosen = choose(claim.selection, offered, counts, [name for name in known if name not in silent])
        plan = Plan(failed={name: Failure(why, "not-readable") for name, why in chosen.failed.items()})
        described = await self._describe(client, claim.run.connection_id, chosen, plan)
        described, spelled = under_known_names(described, known)
        for describe in described:
            full = claim.full or describe.name in whole
            self._add(plan, describe, full, known.get(describe.name), counts)
        plan.censuses = self._censuses(claim, plan, known)
        await self._look(client, claim, plan, described, known, spelled)
        return plan

    async def _look(
        self,
        client: SalesforceClient,
        claim: RunClaim,
        plan: Plan,
        described: Sequence[Describe],
        known: Mapping[str, Known],
        spelled: Mapping[str, str],
    ) -> None:
        """Note what became of objects and fields. An object that the org no longer has is no failure."""
        read_before = {name.lower() for name in known}
        plan.found = await look(
            self._db,
            client,
            job_id=claim.run.job_id,
            connection_id=claim.run.connection_id,
            described=[describe for describe in described if describe.name in plan.objects],
            missing=[name for name in plan.failed if name.lower() in read_before],
            known=known,
            by_itself=not claim.selection,
        )
        for name in plan.found.vanished:
            del plan.failed[name]
        for name, note in spelled.items():
            drift = plan.found.drifts.get(name, Drift())
            plan.found.drifts[name] = Drift((note, *drift.notes), drift.gone)

    def _due(self, claim: RunClaim, known: Mapping[str, Known]) -> set[str]:
        """Objects whose turn it is to be read whole."""
        now, every = self._clock.now(), self._settings.extractor_scan_every
        return {name for name, before in known.items() if scan_due(claim.run.job_id, name, before.whole_at, now, every)}

    def _censuses(self, claim: RunClaim, plan: Plan, known: Mapping[str, Known]) -> set[str]:
        """Objects that are to be listed whole after their reading; none while the org's calls are short."""
        used = self._orgs.ledger.percent_used(claim.run.connection_id)
        if used > self._settings.extractor_census_up_to_percent:
            log.info("censuses_put_off", run_id=str(claim.key), percent_used=round(used))
            return set()
        now, every = self._clock.now(), self._settings.extractor_census_every
        return {
            name
            for name in plan.objects.keys() & known.keys()
            if listable(name) and census_due(claim.run.job_id, name, known[name].census_at, now, every)
        }

    async def _counts(
        self, client: SalesforceClient, claim: RunClaim, known: Mapping[str, Known], whole: set[str]
    ) -> Mapping[str, int]:
        """Salesforce's cached counts; not asked for where no object will be read whole or be found by them."""
        named = {name.strip().lower() for name in claim.selection}
        marked = {name.lower() for name, before in known.items() if before.watermark is not None and name not in whole}
        if named and named <= marked and not claim.full:
            return {}
        return await client.record_counts()

    def _add(self, plan: Plan, describe: Describe, full: bool, known: Known | None, counts: Mapping[str, int]) -> None:
        if not any(found.name == "Id" for found in describe.fields):
            reason = f"{describe.name} has no record ids, so its records cannot be told apart."
            plan.failed[describe.name] = Failure(reason, "no-record-id")
            return
        if held := file_fields(describe):
            plan.files[describe.name] = held
        plan.objects[describe.name] = plan_object(
            describe,
            known=known,
            full=full,
            estimated_rows=counts.get(describe.name, 0),
            overlap=self._settings.extractor_overlap,
            bulk_threshold_rows=self._settings.extractor_bulk_threshold_rows,
            page_bytes=self._settings.extractor_page_bytes,
        )

    async def _describe(
        self, client: SalesforceClient, connection_id: UUID, chosen: Chosen, plan: Plan
    ) -> Sequence[Describe]:
        cached = await store.cached_describes(self._db, connection_id, chosen.readable)
        found = await describe_all(client, chosen.readable, cached, self._settings.extractor_describes)
        plan.failed |= {name: Failure(error.message, error.code) for name, error in found.gone.items()}
        for describe in found.objects:
            if describe.name in found.fresh and describe.etag:
                text = describe.model_dump_json(by_alias=True)
                plan.describes.append((connection_id, describe.name, describe.etag, text))
        return found.objects

    async def _record(self, unit: Unit, claim: RunClaim, plan: Plan, calls: int) -> None:
        if not await store.lock_run(unit, claim):
            return
        await unit.execute(sql.end_planning, claim.key, "planned", "", calls)
        await unit.executemany(sql.keep_describe, plan.describes)
        await unit.executemany(sql.add_task, self._task_rows(claim, plan))
        await files_planned(unit, claim.run, plan.files)
        await enqueue(unit, _announcement(claim, plan), claim.run.meta)
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

    def _task_rows(self, claim: RunClaim, plan: Plan) -> list[tuple[object, ...]]:
        rows: list[tuple[object, ...]] = []
        for name, planned in plan.objects.items():
            how = (planned.mode, planned.strategy, planned.estimated_rows, planned.estimated_calls)
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


def _announcement(claim: RunClaim, plan: Plan) -> ExtractionPlanned:
    planned = [
        PlannedObject(
            object=name,
            mode=how.mode,
            strategy=how.strategy,
            estimated_rows=how.estimated_rows,
            estimated_calls=how.estimated_calls,
        )
        for name, how in plan.objects.items()
    ]
    failed = [
        PlannedObject(object=name, mode="baseline", strategy="rest", estimated_rows=0, estimated_calls=0)
        for name in plan.failed
    ]
    run = claim.run
    return ExtractionPlanned(
        run_id=run.run_id, job_id=run.job_id, run=run.number, objects=planned + failed, notes=plan.found.notes
    )


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
