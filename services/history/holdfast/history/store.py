"""The read models of the past: folded from events, read by the gRPC answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from holdfast.common.contracts.differ import ChangeCounts, ChangesCommitted, ObjectDiffed
from holdfast.common.contracts.history import IntegrityVerified
from holdfast.common.contracts.scheduler import RunCancelled, RunCompleted, RunFailed, RunPartial, RunRequested
from holdfast.common.postgres import Database, Queries, Record, Unit

SQL = Queries.load("holdfast.history")

Row = Record
RunEnd = RunCompleted | RunPartial | RunFailed | RunCancelled


@dataclass(frozen=True)
class Run:
    """A run that was heard of. `objects`: how many it holds or should hold; None until it has completed."""

    run_id: UUID
    job_id: UUID
    number: int
    state: str
    objects: int | None = None


@dataclass(frozen=True)
class TableHead:
    """The newest chain head of a table that the differ told."""

    object: str
    table_path: str
    version: int
    commit_seq: int
    chain_head: str


async def know_job(unit: Unit, job_id: UUID, name: str = "") -> None:
    """The job exists; its name may follow later."""
    await unit.execute(SQL.know_job, job_id, name)


async def request_run(unit: Unit, event: RunRequested) -> None:
    """The run was asked for."""
    await know_job(unit, event.job_id)
    await unit.execute(SQL.request_run, event.run_id, event.job_id, event.run, event.requested_at)


async def end_run(unit: Unit, event: RunEnd) -> None:
    """The run is over."""
    state, reason, missing = "completed", "", "[]"
    objects = event.objects if isinstance(event, RunCompleted) else None
    if isinstance(event, RunPartial):
        state, missing = "partial", json.dumps([gap.model_dump() for gap in event.missing])
    if isinstance(event, RunFailed):
        state, reason = "failed", event.reason
    if isinstance(event, RunCancelled):
        state = "cancelled"
    await know_job(unit, event.job_id)
    await unit.execute(
        SQL.end_run, event.run_id, event.job_id, event.run, state, event.completed_at, reason, missing, objects
    )


async def add_page(unit: Unit, event: ChangesCommitted) -> None:
    """A page's changes are in the table."""
    await know_job(unit, event.job_id)
    await unit.execute(SQL.add_page, event.run_id, event.object, *_counts(event.counts), event.table, event.version)
    await _note_head(unit, event)


async def complete_object(unit: Unit, event: ObjectDiffed) -> None:
    """The object is whole in the table."""
    await know_job(unit, event.job_id)
    await unit.execute(
        SQL.complete_object,
        event.run_id,
        event.object,
        *_counts(event.counts),
        event.table,
        event.version,
        event.rows_read,
        event.bytes_written,
    )
    await _note_head(unit, event)
    if event.proof is not None:
        await unit.execute(SQL.keep_proof, event.job_id, event.object, event.run, event.proof.model_dump_json())


async def find_job(db: Database, id_or_name: str) -> UUID | None:
    """The id of the job with that id or name."""
    if not id_or_name or not id_or_name.isprintable():
        return None
    found: UUID | None = await db.fetchval(SQL.find_job, id_or_name)
    return found


async def get_run(db: Database, run_id: UUID) -> Run | None:
    """The run, if it was heard of."""
    row = await db.fetchrow(SQL.get_run, run_id)
    return Run(**dict(row)) if row else None


async def run_objects(db: Database, run_id: UUID) -> list[Row]:
    """Changes per object of a run, in order of name."""
    return await db.fetch(SQL.run_objects, run_id)


async def table_heads(db: Database, job_id: UUID) -> dict[str, TableHead]:
    """The newest heads that were told, by object."""
    rows = await db.fetch(SQL.table_heads, job_id)
    return {row["object"]: TableHead(**dict(row)) for row in rows}


async def proofs_of_job(db: Database, job_id: UUID) -> dict[str, dict[int, Mapping[str, Any]]]:
    """The proofs that were announced, by object and run."""
    found: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in await db.fetch(SQL.proofs_of_job, job_id):
        found.setdefault(row["object"], {})[row["run"]] = json.loads(row["proof"])
    return found


async def last_proven(db: Database, job_id: UUID, object_name: str) -> Row | None:
    """`run`, `checked` and `at` of the newest run in which the object was proven."""
    return await db.fetchrow(SQL.last_proven, job_id, object_name)


async def insert_verification(unit: Unit, verification_id: UUID, event: IntegrityVerified) -> None:
    """A verification ended."""
    await unit.execute(
        SQL.insert_verification,
        verification_id,
        event.job_id,
        event.verified_at,
        event.files,
        event.bytes,
        json.dumps(event.damaged),
    )


async def _note_head(unit: Unit, event: ChangesCommitted | ObjectDiffed) -> None:
    commit_seq = event.commit_seq if isinstance(event, ChangesCommitted) else 0
    await unit.execute(
        SQL.note_head, event.job_id, event.object, event.table, event.version, commit_seq, event.chain_head
    )


def _counts(counts: ChangeCounts) -> tuple[int, int, int, int, int, int, int]:
    """In the order of the columns."""
    return (
        counts.captured,
        counts.created,
        counts.updated,
        counts.touched,
        counts.deleted,
        counts.undeleted,
        counts.unseen,
    )
