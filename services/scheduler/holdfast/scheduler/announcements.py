"""What the scheduler tells other services, made from its own events."""

from __future__ import annotations

from holdfast.common.contracts import scheduler as public
from holdfast.scheduler.domain.job import JobCreated
from holdfast.scheduler.domain.run import RunEnded, RunOpened
from holdfast.scheduler.store import LockedJob, LockedRun


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
    )


def run_ended(run: LockedRun, ended: RunEnded) -> public.RunCompleted | public.RunPartial | public.RunFailed:
    """A run is over, in one of three ways."""
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
        missing=[public.ObjectGap(object=gap.object, reason=gap.reason) for gap in ended.missing],
        completed_at=ended.completed_at,
    )
