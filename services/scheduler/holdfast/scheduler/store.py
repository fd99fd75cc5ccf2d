"""The read models of jobs and runs: written with the events, read by the gRPC answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from holdfast.common.contracts.differ import ObjectDiffed, ObjectGivenUp
from holdfast.common.contracts.extractor import FilesQueued, FilesSettled, ObjectExtracted, ObjectFailed, PlannedObject
from holdfast.common.postgres import Database, Queries, Record, Unit
from holdfast.scheduler.domain.job import JobCreated, Trigger
from holdfast.scheduler.domain.run import RunEnded, RunOpened, Totals

SQL = Queries.load("holdfast.scheduler")

Row = Record
Reader = Database | Unit


@dataclass(frozen=True)
class LockedJob:
    """A job nobody else can change until the unit ends."""

    job_id: UUID
    name: str
    connection_id: UUID
    objects: list[str]
    cron: str
    time_zone: str
    next_run_at: datetime | None
    api_limit_percent: int


@dataclass(frozen=True)
class LockedRun:
    """A run on which nobody else can report until the unit ends."""

    run_id: UUID
    job_id: UUID
    number: int


async def insert_job(unit: Unit, job: JobCreated, next_run_at: datetime | None) -> bool:
    """Adds the job; False when its name is taken."""
    taken = await unit.fetchval(
        SQL.insert_job,
        job.job_id,
        job.name,
        job.connection_id,
        list(job.objects),
        job.cron,
        job.time_zone,
        job.created_at,
        next_run_at,
        job.api_limit_percent,
    )
    return taken is not None


async def warn_of_job(unit: Unit, job_id: UUID, warnings: Sequence[str]) -> None:
    """What the job's user cannot see."""
    await unit.execute(SQL.warn_of_job, job_id, list(warnings))


async def lock_job(unit: Unit, job_id: UUID) -> LockedJob | None:
    """The job, locked; None when there is none."""
    row = await unit.fetchrow(SQL.lock_job, job_id)
    return LockedJob(**dict(row)) if row else None


async def find_job(reader: Reader, id_or_name: str) -> UUID | None:
    """The id of the job with that id or name."""
    if not id_or_name or not id_or_name.isprintable():
        return None
    found: UUID | None = await reader.fetchval(SQL.find_job, id_or_name)
    return found


async def occupy_job(unit: Unit, job_id: UUID, run_id: UUID) -> None:
    """The run is the job's active and last one."""
    await unit.execute(SQL.occupy_job, job_id, run_id)


async def release_job(unit: Unit, job_id: UUID, run_id: UUID) -> None:
    """The run is no longer active."""
    await unit.execute(SQL.release_job, job_id, run_id)


async def plan_next_slot(unit: Unit, job_id: UUID, at: datetime | None) -> None:
    """The job is due next at that time."""
    await unit.execute(SQL.plan_next_slot, job_id, at)


async def next_due_job(unit: Unit, now: datetime) -> tuple[UUID, datetime] | None:
    """The job that is overdue longest and has no active run, locked, with the slot it missed."""
    row = await unit.fetchrow(SQL.next_due_job, now)
    return (row["job_id"], row["next_run_at"]) if row else None


async def insert_run(unit: Unit, run: RunOpened, slot: datetime | None, api_limit_percent: int) -> None:
    """Adds the run as requested."""
    trigger: Trigger = run.trigger
    await unit.execute(
        SQL.insert_run,
        run.run_id,
        run.job_id,
        run.number,
        trigger,
        run.label,
        slot,
        run.requested_at,
        api_limit_percent,
    )


async def lock_run(unit: Unit, run_id: UUID) -> LockedRun | None:
    """The run, locked and noted as heard of; None when there is none."""
    row = await unit.fetchrow(SQL.lock_run, run_id)
    return LockedRun(**dict(row)) if row else None


async def silent_runs(db: Database, silence: timedelta) -> list[UUID]:
    """Runs that have not ended and of which nothing was heard for so long, longest silence first."""
    return [row["run_id"] for row in await db.fetch(SQL.silent_runs, silence)]


async def start_run(unit: Unit, run_id: UUID) -> None:
    """Somebody works on the run."""
    await unit.execute(SQL.start_run, run_id)


async def halt_run(unit: Unit, run_id: UUID, *, paused: bool) -> None:
    """The run rests, or goes on."""
    await unit.execute(SQL.pause_run if paused else SQL.resume_run, run_id)


async def change_api_limit(unit: Unit, job_id: UUID, percent: int) -> None:
    """The job has another API limit."""
    await unit.execute(SQL.change_api_limit, job_id, percent)


async def end_run(unit: Unit, run_id: UUID, ended: RunEnded) -> None:
    """The run is over."""
    missing = json.dumps([gap.model_dump() for gap in ended.missing])
    await unit.execute(SQL.end_run, run_id, ended.state, ended.completed_at, *_six(ended.totals), ended.reason, missing)


async def plan_objects(unit: Unit, run_id: UUID, objects: Sequence[PlannedObject]) -> None:
    """How each object will be read."""
    await unit.executemany(
        SQL.plan_object, [(run_id, one.object, one.mode, one.strategy, one.estimated_rows) for one in objects]
    )


async def note_run(unit: Unit, run_id: UUID, notes: Sequence[str]) -> None:
    """Add what happened to objects that the run does not have."""
    await unit.execute(SQL.note_run, run_id, list(notes))


async def read_object(unit: Unit, read: ObjectExtracted) -> None:
    """The object is read."""
    await unit.execute(SQL.read_object, read.run_id, read.object, read.mode, read.rows, read.api_calls)
    await unit.execute(SQL.note_object, read.run_id, read.object, read.notes)


async def queue_files(unit: Unit, queued: FilesQueued) -> None:
    """The run's records name so many files."""
    await unit.execute(SQL.queue_files, queued.run_id, queued.files)


async def settle_files(unit: Unit, settled: FilesSettled) -> None:
    """None of the run's files is left to fetch."""
    figures = (settled.files, settled.stored, settled.failed, settled.bytes)
    await unit.execute(SQL.settle_files, settled.run_id, *figures, settled.missing, settled.doubted)


async def hold_object(unit: Unit, held: ObjectDiffed, totals: Totals) -> None:
    """The object is in the vault."""
    gaps = " ".join(held.gaps)
    proof = held.proof.model_dump_json() if held.proof else None
    await unit.execute(SQL.hold_object, held.run_id, held.object, held.rows_read, *_six(totals), gaps, proof)
    await unit.execute(SQL.note_object, held.run_id, held.object, held.notes)


async def lose_object(unit: Unit, lost: ObjectFailed | ObjectGivenUp) -> None:
    """The object could not be read, or not be brought into the vault."""
    await unit.execute(SQL.lose_object, lost.run_id, lost.object, lost.reason)


async def get_job(reader: Reader, job_id: UUID) -> Row | None:
    """The job's row."""
    return await reader.fetchrow(SQL.get_job, job_id)


async def list_jobs(reader: Reader, after_name: str, limit: int) -> Sequence[Row]:
    """Jobs in order of name."""
    return await reader.fetch(SQL.list_jobs, after_name, limit)


async def get_runs(reader: Reader, run_ids: Sequence[UUID]) -> dict[UUID, Row]:
    """The rows of those runs that exist, by id."""
    return {row["run_id"]: row for row in await reader.fetch(SQL.get_runs, list(run_ids))}


async def list_runs(
    reader: Reader, job_id: UUID | None, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[Row]:
    """Runs, newest first, older than `before`."""
    at, run_id = before or (None, None)
    return await reader.fetch(SQL.list_runs, job_id, at, run_id, limit)


async def run_objects(reader: Reader, run_id: UUID) -> Sequence[Row]:
    """The objects of a run in order of name."""
    return await reader.fetch(SQL.run_objects, run_id)


def _six(totals: Totals) -> tuple[int, int, int, int, int, int]:
    """The counts in the order of the columns."""
    return (
        totals.captured,
        totals.created,
        totals.updated,
        totals.touched,
        totals.deleted,
        totals.undeleted,
    )
