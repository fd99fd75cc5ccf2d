"""One function per use case: load, decide, append, and the read models in the same unit. None commits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from holdfast.common import outbox
from holdfast.common.contracts import extractor as extraction
from holdfast.common.contracts.differ import ObjectDiffed, ObjectGivenUp
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.eventstore import handle
from holdfast.common.meta import Meta
from holdfast.common.postgres import Unit
from holdfast.scheduler import announcements, store
from holdfast.scheduler.domain.job import (
    JOB,
    ApiLimitChanged,
    ChangeApiLimit,
    CreateJob,
    JobCreated,
    NumberRun,
    ReleaseRun,
    RunNumbered,
    Trigger,
    job_stream,
)
from holdfast.scheduler.domain.run import (
    RUN,
    AcceptPlan,
    HoldObject,
    LoseObject,
    OpenRun,
    Order,
    RefuseRun,
    Report,
    RunEnded,
    RunOpened,
    RunPaused,
    RunResumed,
    Totals,
    run_stream,
)
from holdfast.scheduler.domain.slots import next_slot

LABEL_MAX_CHARS = 200


@dataclass(frozen=True)
class RunOrder:
    """What a new run shall be. `slot` is the due time that caused it; None when a person asked."""

    run_id: UUID
    trigger: Trigger
    label: str
    full: bool
    slot: datetime | None
    at: datetime


async def create_job(unit: Unit, command: CreateJob, meta: Meta) -> None:
    """Create the job and tell the others.

    Raises:
        HoldfastError: INVALID for bad settings; CONFLICT `job-name-taken` naming the job.
    """
    handled = await handle(unit, JOB, job_stream(command.job_id), command, meta)
    for event in handled.events:
        if not isinstance(event, JobCreated):
            continue
        if not await store.insert_job(unit, event, next_slot(event.cron, event.time_zone, command.at)):
            raise HoldfastError(
                Kind.CONFLICT,
                f"There is already a job named {event.name!r}. Choose another name.",
                code="job-name-taken",
                field="name",
            )
        await outbox.enqueue(unit, announcements.job_created(event), meta)


async def change_api_limit(unit: Unit, job_id: UUID, percent: int, meta: Meta) -> None:
    """The job's runs, from the next one on, wait at another share of the org's daily API calls.

    Raises:
        HoldfastError: NOT_FOUND; INVALID outside 1 to 100.
    """
    await store.lock_job(unit, job_id)
    for event in (await handle(unit, JOB, job_stream(job_id), ChangeApiLimit(percent), meta)).events:
        if isinstance(event, ApiLimitChanged):
            await store.change_api_limit(unit, job_id, event.percent)


async def order_run(unit: Unit, run_id: UUID, order: Order, meta: Meta) -> None:
    """Pause, resume or cancel a run, and tell the others. A repeat changes nothing.

    Raises:
        HoldfastError: NOT_FOUND; CONFLICT `run-ended`.
    """
    await _carry_out(unit, await _lock(unit, run_id), order, meta)


async def open_run(unit: Unit, job_id: UUID, order: RunOrder, meta: Meta) -> bool:
    """Number a run, open it and ask for it. False when its slot has fired before.

    Raises:
        HoldfastError: NOT_FOUND for an unknown job; CONFLICT `run-active` naming the active run.
    """
    job = await store.lock_job(unit, job_id)
    if job is None:
        raise unknown_job(str(job_id))
    numbered = await handle(unit, JOB, job_stream(job_id), NumberRun(order.run_id, order.slot), meta)
    event = next((one for one in numbered.events if isinstance(one, RunNumbered)), None)
    if event is None:
        return False
    opened = RunOpened(
        run_id=order.run_id,
        job_id=job_id,
        number=event.number,
        trigger=order.trigger,
        label=order.label,
        full=order.full,
        requested_at=order.at,
    )
    await handle(unit, RUN, run_stream(order.run_id), OpenRun(opened), meta)
    await store.insert_run(unit, opened, order.slot, job.api_limit_percent)
    await store.occupy_job(unit, job_id, order.run_id)
    await outbox.enqueue(unit, announcements.run_requested(opened, job), meta)
    return True


async def accept_plan(unit: Unit, event: extraction.ExtractionPlanned, meta: Meta, at: datetime) -> None:
    """The run's objects are known, or a page of them."""
    run = await _lock(unit, event.run_id)
    await store.start_run(unit, run.run_id)
    await store.plan_objects(unit, run.run_id, event.objects)
    names = tuple(one.object for one in event.objects)
    await store.note_run(unit, run.run_id, event.notes)
    await _carry_out(unit, run, AcceptPlan(objects=names, at=at, page=event.page, pages=event.pages), meta)


async def refuse_run(unit: Unit, event: extraction.ExtractionRefused, meta: Meta, at: datetime) -> None:
    """The run cannot be planned."""
    run = await _lock(unit, event.run_id)
    await _carry_out(unit, run, RefuseRun(reason=event.reason, at=at), meta)


async def note_read(unit: Unit, event: extraction.ObjectExtracted) -> None:
    """An object is read; its outcome is the differ's to tell."""
    await _lock(unit, event.run_id)
    await store.read_object(unit, event)


async def note_files(unit: Unit, event: extraction.FilesQueued | extraction.FilesSettled) -> None:
    """How far the run's files are, which its end does not wait for."""
    await _lock(unit, event.run_id)
    if isinstance(event, extraction.FilesQueued):
        await store.queue_files(unit, event)
    else:
        await store.settle_files(unit, event)


async def lose_object(unit: Unit, event: extraction.ObjectFailed | ObjectGivenUp, meta: Meta, at: datetime) -> None:
    """An object could not be read, or not be brought into the vault."""
    run = await _lock(unit, event.run_id)
    await store.lose_object(unit, event)
    await _carry_out(unit, run, LoseObject(object=event.object, reason=event.reason, at=at), meta)


async def hold_object(unit: Unit, event: ObjectDiffed, meta: Meta, at: datetime) -> None:
    """An object is in the vault."""
    run = await _lock(unit, event.run_id)
    totals = Totals(**event.counts.model_dump())
    await store.hold_object(unit, event, totals)
    command = HoldObject(object=event.object, totals=totals, gaps=tuple(event.gaps), at=at)
    await _carry_out(unit, run, command, meta)


def unknown_job(id_or_name: str) -> HoldfastError:
    """The error that names a job that does not exist."""
    return HoldfastError(Kind.NOT_FOUND, f"There is no job {id_or_name!r}.", code="unknown-job")


def unknown_run(run_id: str) -> HoldfastError:
    """The error that names a run that does not exist."""
    return HoldfastError(Kind.NOT_FOUND, f"There is no run {run_id!r}.", code="unknown-run")


async def _lock(unit: Unit, run_id: UUID) -> store.LockedRun:
    run = await store.lock_run(unit, run_id)
    if run is None:
        raise unknown_run(str(run_id))
    return run


async def _carry_out(unit: Unit, run: store.LockedRun, command: Report | Order, meta: Meta) -> None:
    handled = await handle(unit, RUN, run_stream(run.run_id), command, meta)
    for event in handled.events:
        if isinstance(event, RunEnded):
            await _end(unit, run, event, meta)
        elif isinstance(event, RunPaused | RunResumed):
            await store.halt_run(unit, run.run_id, paused=isinstance(event, RunPaused))
            await outbox.enqueue(unit, announcements.run_halted(run, event), meta)


async def _end(unit: Unit, run: store.LockedRun, ended: RunEnded, meta: Meta) -> None:
    """Close the run, free its job and tell the others, all or nothing."""
    await store.end_run(unit, run.run_id, ended)
    await store.lock_job(unit, run.job_id)
    await handle(unit, JOB, job_stream(run.job_id), ReleaseRun(run.run_id), meta)
    await store.release_job(unit, run.job_id, run.run_id)
    await outbox.enqueue(unit, announcements.run_ended(run, ended), meta)
