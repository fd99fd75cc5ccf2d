"""All SQL of the extractor, behind names. What changes a leased row compares the epoch in the same unit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, NamedTuple
from uuid import UUID

from holdfast.common.contracts.differ import ObjectDiffed, ObjectGivenUp
from holdfast.common.contracts.extractor import Mode, PageMode, Pass
from holdfast.common.contracts.scheduler import RunRequested
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.meta import Meta
from holdfast.common.postgres import Database, Queries, Record, Unit
from holdfast.extractor.budget import BudgetSpentError
from holdfast.extractor.drift import Shape
from holdfast.extractor.keys import key_of
from holdfast.extractor.legs import WHOLE, Leg
from holdfast.extractor.patience import Failures
from holdfast.extractor.planning import Known, Strategy
from holdfast.extractor.soql import ObjectQuery, Position, stamp_of
from holdfast.extractor.steps import LEASE_WRITTEN
from holdfast.vault.schema import FieldType, RecordSchema

sql = Queries.load("holdfast.extractor")

Part = Literal["records", "deletions", "census"]


@dataclass(frozen=True)
class Run:
    """A run of a job, as every event of it names it."""

    run_id: UUID
    job_id: UUID
    number: int
    connection_id: UUID
    meta: Meta
    api_limit_percent: int = 80

    @classmethod
    def of(cls, row: Record) -> Run:
        """The run columns of a claim."""
        meta = Meta(row["correlation_id"], row["causation_id"], row["actor"])
        return cls(row["run_id"], row["job_id"], row["run"], row["connection_id"], meta, row["api_limit_percent"])


@dataclass(frozen=True)
class RunClaim:
    """A leased run that waits for its plan."""

    run: Run
    selection: tuple[str, ...]
    full: bool
    epoch: int

    @property
    def key(self) -> UUID:
        """Key of the leased row."""
        return self.run.run_id


@dataclass(frozen=True)
class TaskClaim:
    """A leased object and the durable position of its reading.

    Attributes:
        bulk_job: Bulk job whose pages are being read, if there is one.
        bulk_locator: Where its next page is (a locator, or the text of a `Place`); None at the start.
        bulk_restarts: Jobs given up so far.
        drained: Every page is durable; only the closing is left.
        next_seq: Number of the next page.
        after: Last durable record of a reading by REST.
        pass_number: Which pass over the object this is, and `purpose` what for.
        part: What of the pass is being read.
        part_from_seq: Number of the first page of the part.
        census_due: All living records are to be listed after the reading.
        deleted_until: How far the org's list of deleted records turned out to be known, not durable yet.
        noted: What the part has to say, not durable yet.
        legs: Ranges of ids that are still to be read, the present one first; empty if it is read in one go.
    """

    task_id: UUID
    run: Run
    object: str
    mode: Mode
    strategy: Strategy
    schema: RecordSchema
    since: datetime | None
    bulk_job: str | None
    bulk_locator: str | None
    bulk_restarts: int
    drained: bool
    next_seq: int
    after: Position | None
    epoch: int
    pass_number: int
    purpose: Pass
    part: Part
    part_from_seq: int
    census_due: bool
    deleted_until: datetime | None = None
    noted: tuple[str, ...] = ()
    legs: tuple[Leg, ...] = ()

    @property
    def key(self) -> UUID:
        """Key of the leased row."""
        return self.task_id

    @property
    def query(self) -> ObjectQuery:
        """What to read: records since a stamp, or, of all living records, what the part's pages hold."""
        names = tuple(field.name for field in self.schema.fields)
        leg = self.legs[0] if self.legs else WHOLE
        if self.schema.key:
            whole = ObjectQuery(self.object, names, key=key_of(self.schema))
            return whole if self.part == "records" else whole.of_the_living(self._listed)
        whole = ObjectQuery(self.object, names, self.since if stamp_of(names) else None, leg=leg)
        return whole if self.part == "records" else whole.of_the_living(self._listed)

    @property
    def _listed(self) -> tuple[str, ...]:
        if self.schema.key:
            return self.schema.key
        stamp = stamp_of([field.name for field in self.schema.fields])
        return ("Id",) if stamp is None else ("Id", stamp)

    @property
    def page_mode(self) -> PageMode:
        """What pages of the present part hold."""
        if self.part != "records":
            return self.part
        return "incremental" if self.purpose == "delta" else self.mode

    @property
    def page_schema(self) -> RecordSchema:
        """The fields of pages of the present part."""
        if self.part == "records":
            return self.schema
        if self.schema.key:
            keys = tuple(field for field in self.schema.fields if field.name in self.schema.key)
            return replace(self.schema, fields=keys)
        wanted = {*self._listed, "IsDeleted"} if self.part == "deletions" else set(self._listed)
        fields = {field.name: field for field in self.schema.fields}
        missing = [FieldType("IsDeleted", "boolean")] if "IsDeleted" in wanted - set(fields) else []
        return RecordSchema(self.object, (*(fields[name] for name in wanted & set(fields)), *missing))

    @classmethod
    def of(cls, row: Record) -> TaskClaim:
        """A row of `claim_task`."""
        return cls(
            task_id=row["task_id"],
            run=Run.of(row),
            object=row["object"],
            mode=row["mode"],
            strategy=row["strategy"],
            schema=RecordSchema.from_json(row["schema"].encode()),
            since=row["since"],
            bulk_job=row["bulk_job"],
            bulk_locator=row["bulk_locator"],
            bulk_restarts=row["bulk_restarts"],
            drained=row["drained"],
            next_seq=row["next_seq"],
            after=Position(row["last_id"], row["last_stamp"]) if row["last_id"] else None,
            epoch=row["epoch"],
            pass_number=row["pass_number"],
            purpose=row["purpose"],
            part=row["part"],
            part_from_seq=row["part_from_seq"],
            census_due=row["census_due"],
            legs=legs_of(row["legs"]),
        )


def legs_of(text: str) -> tuple[Leg, ...]:
    """Ranges of ids as a task holds them."""
    return tuple(Leg(*ends) for ends in json.loads(text))


class DurablePage(NamedTuple):
    """A page in the store, as the object's manifest counts it."""

    page_id: str
    rows: int
    sha256: str


async def receive_run(unit: Unit, event: RunRequested, meta: Meta) -> None:
    """Note a run to plan; a repeat changes nothing."""
    await unit.execute(
        sql.receive_run,
        event.run_id,
        event.job_id,
        event.run,
        event.connection_id,
        event.objects,
        event.full,
        meta.correlation_id,
        meta.causation_id,
        meta.actor,
        event.api_limit_percent,
    )


async def pause_run(unit: Unit, run_id: UUID) -> None:
    """Nobody works on the run until it is resumed; whoever does now is fenced."""
    if await unit.fetchval(sql.pause_extraction, run_id) is not None:
        await unit.execute(sql.fence_tasks, run_id)


async def resume_run(unit: Unit, run_id: UUID) -> None:
    """The run goes on from its durable pages; a repeat changes nothing."""
    await unit.execute(sql.resume_extraction, run_id)
    await unit.execute(sql.resume_tasks, run_id)


async def cancel_run(unit: Unit, run_id: UUID) -> None:
    """The run ends here; whoever works on it is fenced, and the org's Bulk jobs for it are to be stopped."""
    connection_id = await unit.fetchval(sql.cancel_extraction, run_id)
    if connection_id is not None:
        await unit.execute(sql.abandon_jobs, run_id, connection_id)
        await unit.execute(sql.cancel_tasks, run_id)


async def note_loss(unit: Unit, event: ObjectGivenUp) -> None:
    """What a run read of an object is not in the vault, whatever the watermark says; a repeat changes nothing."""
    await unit.execute(sql.note_loss, event.job_id, event.object, event.run, False)
    await unit.execute(sql.forget_deleted_until, event.job_id, event.object)


async def note_outcome(unit: Unit, event: ObjectDiffed) -> None:
    """Do not rely on a reading after which the vault does not agree with the org; a repeat changes nothing."""
    if event.proof is not None and event.proof.state == "mismatch":
        await unit.execute(sql.note_loss, event.job_id, event.object, event.run, True)
        await unit.execute(sql.forget_deleted_until, event.job_id, event.object)


async def lock_run(unit: Unit, claim: RunClaim) -> bool:
    """Take the run's row for this unit; False if its planning is over.

    Raises:
        HoldfastError: FENCED if somebody else holds it by now.
    """
    row = await unit.fetchrow(sql.lock_extraction, claim.key)
    if row is None or row["epoch"] != claim.epoch:
        raise _fenced(claim.key)
    return bool(row["state"] == "waiting")


async def lock_task(unit: Unit, claim: TaskClaim) -> tuple[bool, int]:
    """Take the object's row for this unit.

    Returns:
        Whether it is still open, and the number of its next page.

    Raises:
        HoldfastError: FENCED if somebody else holds it by now.
    """
    row = await unit.fetchrow(sql.lock_task, claim.key)
    if row is None or row["epoch"] != claim.epoch:
        raise _fenced(claim.key)
    return row["state"] == "waiting", row["next_seq"]


def _fenced(key: UUID) -> HoldfastError:
    return HoldfastError(Kind.FENCED, "Another worker has taken over.", code="lease-lost", detail=str(key))


async def run_failures(db: Database, claim: RunClaim) -> Failures:
    """How long the run's planning has been failing."""
    return _failures(await db.fetchrow(sql.extraction_failures, claim.key))


async def task_failures(db: Database, claim: TaskClaim) -> Failures:
    """How long the object's reading has been failing."""
    return _failures(await db.fetchrow(sql.task_failures, claim.key))


def _failures(row: Record | None) -> Failures:
    return Failures(row["failures"], row["failing_for"]) if row else Failures(0, timedelta(0))


async def postpone(
    db: Database, claim: RunClaim | TaskClaim, pause: timedelta, calls: int, error: HoldfastError
) -> None:
    """Give a row back, to be tried again after `pause`. Until then the row says why it waits."""
    statement = sql.postpone_extraction if isinstance(claim, RunClaim) else sql.postpone_task
    limited = error.kind is Kind.LIMIT
    free_at = error.free_at if isinstance(error, BudgetSpentError) else None

    async def work(unit: Unit) -> None:
        await unit.execute(statement, claim.key, claim.epoch, pause, calls, error.message, free_at, limited)

    await db.run(LEASE_WRITTEN, work)


async def known_objects(db: Database, job_id: UUID) -> dict[str, Known]:
    """What earlier runs of a job read."""
    rows = await db.fetch(sql.job_marks, job_id)
    return {row["object"]: _known(row) for row in rows}


def _known(row: Record) -> Known:
    schema = RecordSchema.from_json(row["schema"].encode()) if row["schema"] else None
    fields = frozenset(schema.fields) if schema else None
    return Known(row["mark"], fields, row["whole_at"], row["census_at"], schema.key if schema else ())


async def last_schema(unit: Unit, claim: TaskClaim) -> RecordSchema | None:
    """The fields with which an earlier run last read the claim's object to its end; None if none did."""
    text = await unit.fetchval(sql.last_schema, claim.run.job_id, claim.object, claim.run.number)
    return RecordSchema.from_json(text.encode()) if text else None


async def last_shapes(db: Database, job_id: UUID) -> dict[str, Shape]:
    """What the fields of each object were when the job last read it to its end."""
    return {row["object"]: Shape.from_json(row["shape"]) for row in await db.fetch(sql.last_shapes, job_id)}


async def kept_field_ids(db: Database, connection_id: UUID, objects: Sequence[str]) -> dict[str, dict[str, str]]:
    """Ids of fields by name, as the org told them some time."""
    rows = await db.fetch(sql.kept_field_ids, connection_id, list(objects))
    return {row["object"]: json.loads(row["ids"]) for row in rows}


async def keep_field_ids(unit: Unit, connection_id: UUID, ids: Mapping[str, Mapping[str, str]]) -> None:
    """Keep ids of fields, by object and name."""
    rows = [(connection_id, name, json.dumps(dict(of), separators=(",", ":"))) for name, of in ids.items()]
    await unit.executemany(sql.keep_field_ids, rows)


async def vanished_objects(db: Database, job_id: UUID) -> frozenset[str]:
    """Objects of the job of which a run has said that the org no longer has them."""
    return frozenset(row["object"] for row in await db.fetch(sql.vanished_objects, job_id))


async def cached_describes(db: Database, connection_id: UUID, objects: Sequence[str]) -> dict[str, tuple[str, str]]:
    """ETag and body of describes seen before."""
    rows = await db.fetch(sql.describes, connection_id, list(objects))
    return {row["object"]: (row["etag"], row["body"]) for row in rows}


async def manifest_pages(unit: Unit, task_id: UUID) -> list[DurablePage]:
    """The durable pages of an object, in order."""
    rows = await unit.fetch(sql.manifest, task_id)
    return [DurablePage(row["page_id"], row["rows"], row["sha256"]) for row in rows]


async def siblings(
    db: Database, claim: TaskClaim, holder: str, but: Sequence[UUID], most: int
) -> dict[UUID, ObjectQuery]:
    """Queries of objects of the claim's run, `but` not these, that wait to be read by REST, by task."""
    rows = await db.fetch(sql.siblings, claim.run.run_id, list(but), holder, most)
    return {row["task_id"]: _query(row) for row in rows}


def _query(row: Record) -> ObjectQuery:
    fields = RecordSchema.from_json(row["schema"].encode()).fields
    return ObjectQuery(row["object"], tuple(field.name for field in fields), row["since"])


async def run_progress(db: Database, run_id: UUID) -> tuple[Record, list[Record]] | None:
    """The run's row and those of its objects; None for an unknown run."""
    row = await db.fetchrow(sql.run_progress, run_id)
    if row is None:
        return None
    return row, await db.fetch(sql.task_progress, run_id)
