"""Events that history folds into its read models."""

from __future__ import annotations

from holdfast.common.contracts.differ import ChangesCommitted, ObjectDiffed
from holdfast.common.contracts.scheduler import (
    JobCreated,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunPartial,
    RunRequested,
)
from holdfast.common.messaging import Bus
from holdfast.common.meta import Meta
from holdfast.common.postgres import Unit
from holdfast.history import store
from holdfast.history.steps import (
    JOB_KNOWN,
    OBJECT_COMPLETED,
    PAGE_ADDED,
    RUN_CANCELLED,
    RUN_COMPLETED,
    RUN_FAILED,
    RUN_KNOWN,
    RUN_PARTIAL,
)


def subscribe(bus: Bus) -> None:
    """Declare the subscriptions; call before the bus starts."""
    bus.consume(JobCreated, job_created, step=JOB_KNOWN)
    bus.consume(RunRequested, run_requested, step=RUN_KNOWN)
    bus.consume(RunCompleted, run_ended, step=RUN_COMPLETED)
    bus.consume(RunPartial, run_ended, step=RUN_PARTIAL)
    bus.consume(RunFailed, run_ended, step=RUN_FAILED)
    bus.consume(RunCancelled, run_ended, step=RUN_CANCELLED)
    bus.consume(ChangesCommitted, changes_committed, step=PAGE_ADDED)
    bus.consume(ObjectDiffed, object_diffed, step=OBJECT_COMPLETED)


async def job_created(unit: Unit, event: JobCreated, meta: Meta) -> None:
    """A job exists."""
    await store.know_job(unit, event.job_id, event.name)


async def run_requested(unit: Unit, event: RunRequested, meta: Meta) -> None:
    """A run was asked for."""
    await store.request_run(unit, event)


async def run_ended(unit: Unit, event: store.RunEnd, meta: Meta) -> None:
    """A run is over."""
    await store.end_run(unit, event)


async def changes_committed(unit: Unit, event: ChangesCommitted, meta: Meta) -> None:
    """A page's changes are in the vault."""
    await store.add_page(unit, event)


async def object_diffed(unit: Unit, event: ObjectDiffed, meta: Meta) -> None:
    """An object is whole in the vault."""
    await store.complete_object(unit, event)
