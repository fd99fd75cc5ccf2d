"""What the scheduler tells other services, made from its own events."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.common.contracts import scheduler as public
from holdfast.scheduler.domain.job import JobCreated
from holdfast.scheduler.domain.run import Missing, RunEnded, RunOpened, RunPaused, RunResumed
from holdfast.scheduler.store import LockedJob, LockedRun

# An event has at most 262,144 bytes; the names of 2,000 objects take half of it, and JSON may double a text.
_REASONS_MAX_BYTES = 60_000


def job_created(event: JobCreated) -> public.JobCreated:
    """A job exists."""
    return public.JobCreated(
        job_id=event.job_id,
        name=event.name,
        connection_id=event.connection_id,
        cron=event.cron or None,
        time_zone=event.time_zone,
        objects=list(event.objects),
    )


def run_requested(run: RunOpened, job: LockedJob) -> public.RunRequested:
    """A run is asked for."""
    return public.RunRequested(
        run_id=run.run_id,
        job_id=run.job_id,
        run=run.number,
        connection_id=job.connection_id,
        objects=job.objects,
        trigger=run.trigger,
        label=run.label,
        full=run.full,
        requested_at=run.requested_at,
        api_limit_percent=job.api_limit_percent,
    )


def run_halted(run: LockedRun, event: RunPaused | RunResumed) -> public.RunPaused | public.RunResumed:
    """A run rests, or goes on."""
    kind = public.RunPaused if isinstance(event, RunPaused) else public.RunResumed
    return kind(run_id=run.run_id, job_id=run.job_id, run=run.number)


def run_ended(
    run: LockedRun, ended: RunEnded
) -> public.RunCompleted | public.RunPartial | public.RunFailed | public.RunCancelled:
    """A run is over, in one of four ways."""
    if ended.state == "cancelled":
        return public.RunCancelled(
            run_id=run.run_id, job_id=run.job_id, run=run.number, completed_at=ended.completed_at
        )
    if ended.state == "failed":
        return public.RunFailed(
            run_id=run.run_id,
            job_id=run.job_id,
            run=run.number,
            reason=ended.reason,
            completed_at=ended.completed_at,
        )
    outcome = public.RunOutcome(**ended.totals.model_dump(exclude={"unseen"}))
    if ended.state == "completed":
        return public.RunCompleted(
            run_id=run.run_id,
            job_id=run.job_id,
            run=run.number,
            objects=ended.objects,
            outcome=outcome,
            completed_at=ended.completed_at,
        )
    return public.RunPartial(
        run_id=run.run_id,
        job_id=run.job_id,
        run=run.number,
        objects=ended.objects,
        outcome=outcome,
        missing=_fitting(ended.missing),
        completed_at=ended.completed_at,
    )


def _fitting(missing: Sequence[Missing]) -> list[public.ObjectGap]:
    """All that is missing; with very many objects the reasons are cut so that the event can be sent."""
    share = _REASONS_MAX_BYTES // max(1, len(missing))
    return [
        public.ObjectGap(object=gap.object, reason=gap.reason.encode()[:share].decode(errors="ignore"))
        for gap in missing
    ]
