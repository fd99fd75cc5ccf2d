"""Runs of a job, and how far a run is."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from holdfast.common.rpc.extractor.v1 import extractor_pb2
from holdfast.common.rpc.scheduler.v1 import scheduler_pb2
from holdfast.gateway.inputs import Line
from holdfast.gateway.models.base import Command, Resource, moment

ENDED = frozenset({"completed", "partial", "failed", "cancelled"})


class RequestRun(Command):
    """A run now."""

    label: Annotated[Line, Field(max_length=200)] = Field(
        default="", description="Why, for people who read the list of runs.", examples=["before the release"]
    )
    full: bool = Field(default=False, description="Read every record again instead of only what changed.")


class Counts(Resource):
    """Records by what happened to them."""

    captured: int = Field(default=0, description="First seen by the baseline.")
    created: int = 0
    updated: int = 0
    touched: int = Field(default=0, description="Stamped anew by Salesforce without any value changing.")
    deleted: int = 0
    undeleted: int = 0

    @classmethod
    def of(cls, counts: scheduler_pb2.Counts) -> Counts:
        return cls(
            captured=counts.captured,
            created=counts.created,
            updated=counts.updated,
            touched=counts.touched,
            deleted=counts.deleted,
            undeleted=counts.undeleted,
        )


class Gap(Resource):
    """An object, or a part of it, that a run does not hold."""

    object: str
    reason: str


class ProofSummary(Resource):
    """How many objects of an ended run had which outcome when the backup was held against the org."""

    proven: int = 0
    not_proven: int = 0
    mismatch: int = 0


class Proof(Resource):
    """Whether the backup holds what the org holds of an object. Ids are named up to 100 of each kind."""

    state: str = Field(description="`proven`, `not proven` or `mismatch`.", examples=["proven"])
    checked: str = Field(description="What agreed: `count`, `ids`, `ids and stamps`; empty if nothing could.")
    reason: str = Field(description="Why it is not proven, or what differs.")
    org_records: int | None = Field(description="Living records as the org counts them.")
    backup_records: int = Field(description="Living records in the backup.")
    passes: int = Field(description="How often the object was looked at in the run.")
    at: datetime | None
    missing: int = Field(description="In the org, not in the backup.")
    missing_ids: list[str]
    outdated: int = Field(description="Older in the backup than in the org.")
    outdated_ids: list[str]
    unseen: int = Field(description="In the backup, not in the org, and nothing shows that they were deleted.")
    unseen_ids: list[str]

    @classmethod
    def of(cls, proof: scheduler_pb2.Proof) -> Proof:
        return cls(
            state=proof.state,
            checked=proof.checked,
            reason=proof.reason,
            org_records=proof.org_records if proof.HasField("org_records") else None,
            backup_records=proof.vault_records,
            passes=proof.passes,
            at=moment(proof.at),
            missing=proof.missing,
            missing_ids=list(proof.missing_ids),
            outdated=proof.outdated,
            outdated_ids=list(proof.outdated_ids),
            unseen=proof.unseen,
            unseen_ids=list(proof.unseen_ids),
        )


class RunObject(Resource):
    """One object of a run."""

    object: str = Field(examples=["Account"])
    state: str = Field(description="`waiting`, `reading`, `extracted`, `done` or `failed`.", examples=["reading"])
    mode: str = Field(description="`baseline`, `incremental` or `full`.")
    strategy: str = Field(description="`rest` or `bulk2`.")
    rows: int = Field(description="Rows durable so far.")
    estimated_rows: int
    bytes: int
    api_calls: int
    counts: Counts
    reason: str = Field(description="Why it failed.")
    proof: Proof | None = Field(default=None, description="Null until the object is done, and for one that failed.")
    notes: list[str] = Field(
        default_factory=list,
        description="What happened to it that makes nothing missing: fields added, removed, renamed, retyped.",
    )


class Files(Resource):
    """The files that a run's records name. They come in after the records, and do not hold up the run's end."""

    state: str = Field(
        default="none", description="`none`, `waiting`, or `done` once none is left to fetch.", examples=["waiting"]
    )
    queued: int = Field(default=0, description="All of them.")
    stored: int = Field(default=0, description="Those in the vault.")
    failed: int = Field(default=0, description="Those that could not be read; the next runs try again.")
    bytes: int = Field(default=0, description="Of those in the vault; an equal content counts for each record.")
    missing: list[str] = Field(default_factory=list, description="Which files are missing, and why.")
    doubted: list[str] = Field(
        default_factory=list, description="Which files are stored though they are not as Salesforce states them."
    )

    @classmethod
    def of(cls, files: scheduler_pb2.Files, read: extractor_pb2.GetProgressResponse | None = None) -> Files:
        """Merge what the scheduler and the extractor know of a run's files."""
        queued, stored, failed, size = files.queued, files.stored, files.failed, files.bytes
        if read is not None and read.files_queued:
            queued, stored, failed = read.files_queued, read.files_stored, read.files_failed
            size = read.files_bytes
        return cls(
            state="none" if not queued else "done" if stored + failed >= queued else "waiting",
            queued=queued,
            stored=stored,
            failed=failed,
            bytes=size,
            missing=list(files.missing),
            doubted=list(files.doubted),
        )


class Run(Resource):
    """A run of a job."""

    id: str
    job_id: str
    number: int = Field(description="Counts the runs of the job from 1.", examples=[3])
    state: str = Field(description="`requested`, `running`, `paused`, `completed`, `partial`, `failed` or `cancelled`.")
    trigger: str
    label: str
    requested_at: datetime | None
    completed_at: datetime | None
    counts: Counts
    missing: list[Gap]
    reason: str = Field(description="Why the run failed, or that it was cancelled.")
    proof: ProofSummary = Field(default=ProofSummary(), description="Of all objects; zeros until the run has ended.")
    api_limit_percent: int = Field(
        description="Share of the org's daily API calls, by everybody, at which the run stops calling and waits."
    )
    notes: list[str] = Field(
        default_factory=list, description="What happened to objects that the run does not have: they are gone."
    )
    files: Files = Field(default_factory=Files, description="Those that its records name.")

    @classmethod
    def of(cls, run: scheduler_pb2.Run) -> Run:
        return cls(**_head(run), files=Files.of(run.files))


class Waiting(Resource):
    """Why a run cannot call the org for now: its API budget is used up, or it does not answer."""

    reason: str = Field(examples=["80,000 of the org's 100,000 API calls of 24 hours are used, …"])
    until: datetime | None = Field(description="When calls are expected to be free; null where nobody can know.")
    next_look_at: datetime | None = Field(description="When it is looked at again.")


class Forecast(Resource):
    """When a run will end, from the calls it still needs, its rate so far, and what the org's day has room for."""

    calls_left: int
    ends_at: datetime | None = Field(description="Null where nobody can tell.")
    sentence: str = Field(
        description="In words; empty unless the API budget decides.",
        examples=["The run ends in about 3 days at 40 %: …"],
    )


class Progress(Resource):
    """How far a run is. `seconds_left` extrapolates the pace so far; null while nothing can be said."""

    state: str = Field(description="`planning`, `reading`, `waiting`, `done`, `refused` or `cancelled`.")
    rows: int
    estimated_rows: int
    bytes: int
    api_calls: int
    objects: int
    objects_done: int
    seconds_elapsed: float
    rows_per_second: float
    seconds_left: float | None
    waiting: Waiting | None = None
    forecast: Forecast | None = None


class RunDetail(Run):
    """A run with its objects and its progress. `progress` is null while the extractor cannot be asked."""

    objects: list[RunObject]
    progress: Progress | None

    @classmethod
    def at(cls, run: scheduler_pb2.Run, read: extractor_pb2.GetProgressResponse | None, now: datetime) -> RunDetail:
        """Merge what the scheduler and the extractor know of a run."""
        objects = _objects(run, read)
        progress = _progress(run, read, objects, now) if read is not None else None
        return cls(**_head(run), files=Files.of(run.files, read), objects=objects, progress=progress)


def _head(run: scheduler_pb2.Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "job_id": run.job_id,
        "number": run.number,
        "state": run.state,
        "trigger": run.trigger,
        "label": run.label,
        "requested_at": moment(run.requested_at),
        "completed_at": moment(run.completed_at),
        "counts": Counts.of(run.counts),
        "missing": [Gap(object=gap.object, reason=gap.reason) for gap in run.missing],
        "reason": run.reason,
        "proof": ProofSummary(proven=run.proof.proven, not_proven=run.proof.not_proven, mismatch=run.proof.mismatch),
        "notes": list(run.notes),
        "api_limit_percent": run.api_limit_percent,
    }


_STATE_OF_PLAN = {"planned": "waiting", "diffed": "done"}


def _objects(run: scheduler_pb2.Run, read: extractor_pb2.GetProgressResponse | None) -> list[RunObject]:
    planned = {each.object: each for each in run.objects}
    reads = {each.object: each for each in read.objects} if read is not None else {}
    names = list(dict.fromkeys([*planned, *reads]))
    return [
        _object(
            name,
            planned.get(name, scheduler_pb2.ObjectProgress()),
            reads.get(name, extractor_pb2.ObjectRead()),
        )
        for name in names
    ]


def _object(name: str, plan: scheduler_pb2.ObjectProgress, read: extractor_pb2.ObjectRead) -> RunObject:
    state = plan.state if plan.state in ("diffed", "failed") else read.state or plan.state
    return RunObject(
        object=name,
        state=_STATE_OF_PLAN.get(state, state) or "waiting",
        mode=plan.mode,
        strategy=plan.strategy or read.strategy,
        rows=max(plan.rows, read.rows),
        estimated_rows=max(plan.estimated_rows, read.estimated_rows),
        bytes=read.bytes,
        api_calls=max(plan.api_calls, read.api_calls),
        counts=Counts.of(plan.counts),
        reason=plan.reason,
        proof=Proof.of(plan.proof) if plan.HasField("proof") else None,
        notes=list(plan.notes),
    )


def _progress(
    run: scheduler_pb2.Run,
    read: extractor_pb2.GetProgressResponse,
    objects: list[RunObject],
    now: datetime,
) -> Progress:
    began = moment(run.requested_at) or now
    elapsed = max(0.0, ((moment(run.completed_at) or now) - began).total_seconds())
    rows = max(read.rows, sum(each.rows for each in objects))
    estimated = max(read.estimated_rows, sum(max(each.estimated_rows, each.rows) for each in objects))
    pace = rows / elapsed if elapsed > 0 else 0.0
    ended = run.state in ENDED
    left = (estimated - rows) / pace if pace > 0 and not ended else None
    return Progress(
        state=read.state,
        rows=rows,
        estimated_rows=estimated,
        bytes=read.bytes,
        api_calls=read.api_calls,
        objects=len(objects),
        objects_done=sum(1 for each in objects if each.state in ("done", "failed")),
        seconds_elapsed=round(elapsed, 3),
        rows_per_second=round(pace, 1),
        seconds_left=0.0 if ended else (round(left, 1) if left is not None else None),
        waiting=_waiting(read) if not ended else None,
        forecast=_forecast(read) if not ended else None,
    )


def _waiting(read: extractor_pb2.GetProgressResponse) -> Waiting | None:
    if not read.HasField("waiting"):
        return None
    wait = read.waiting
    return Waiting(reason=wait.reason, until=moment(wait.until), next_look_at=moment(wait.next_look_at))


def _forecast(read: extractor_pb2.GetProgressResponse) -> Forecast | None:
    if not read.HasField("forecast"):
        return None
    found = read.forecast
    return Forecast(calls_left=found.calls_left, ends_at=moment(found.ends_at), sentence=found.sentence)
