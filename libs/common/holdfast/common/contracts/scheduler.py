"""Events of the `scheduler` service: jobs and runs."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from holdfast.common.contracts.base import PublicEvent, Value


class JobCreated(PublicEvent):
    """A backup job exists."""

    TYPE: ClassVar[str] = "holdfast.scheduler.job.created.v1"
    job_id: UUID
    name: str
    connection_id: UUID
    cron: str | None
    time_zone: str
    objects: list[str]  # empty: every recommended object of the org

    def key(self) -> str:
        return str(self.job_id)


class RunRequested(PublicEvent):
    """A run is due or was asked for. `run` counts a job's runs from 1 without gaps."""

    TYPE: ClassVar[str] = "holdfast.scheduler.run.requested.v1"
    run_id: UUID
    job_id: UUID
    run: int
    connection_id: UUID
    objects: list[str]
    trigger: Literal["manual", "slot"]
    label: str = ""
    full: bool = False
    requested_at: datetime
    # Share of the org's daily API calls, by everybody, at which the run stops calling and waits.
    api_limit_percent: int = 80

    def key(self) -> str:
        return str(self.run_id)


class ObjectGap(Value):
    """An object, or a part of it, that a run does not hold, and why, in words."""

    object: str
    reason: str


class RunOutcome(Value):
    """Totals of a run, by operation, over all objects."""

    captured: int = 0
    created: int = 0
    updated: int = 0
    touched: int = 0
    deleted: int = 0
    undeleted: int = 0


class RunCompleted(PublicEvent):
    """Every planned object of the run is in the vault, whole."""

    TYPE: ClassVar[str] = "holdfast.scheduler.run.completed.v1"
    run_id: UUID
    job_id: UUID
    run: int
    objects: int
    outcome: RunOutcome
    completed_at: datetime

    def key(self) -> str:
        return str(self.run_id)


class RunPartial(PublicEvent):
    """The run ended and something is missing: `missing` says what, and why."""

    TYPE: ClassVar[str] = "holdfast.scheduler.run.partial.v1"
    run_id: UUID
    job_id: UUID
    run: int
    objects: int
    outcome: RunOutcome
    missing: list[ObjectGap]
    completed_at: datetime

    def key(self) -> str:
        return str(self.run_id)


class RunFailed(PublicEvent):
    """The run ended and nothing of it is usable."""

    TYPE: ClassVar[str] = "holdfast.scheduler.run.failed.v1"
    run_id: UUID
    job_id: UUID
    run: int
    reason: str
    completed_at: datetime

    def key(self) -> str:
        return str(self.run_id)


class RunPaused(PublicEvent):
    """Nobody works on the run until it is resumed or cancelled; what is durable of it stays."""

    TYPE: ClassVar[str] = "holdfast.scheduler.run.paused.v1"
    run_id: UUID
    job_id: UUID
    run: int

    def key(self) -> str:
        return str(self.run_id)


class RunResumed(PublicEvent):
    """The run goes on where it was paused."""

    TYPE: ClassVar[str] = "holdfast.scheduler.run.resumed.v1"
    run_id: UUID
    job_id: UUID
    run: int

    def key(self) -> str:
        return str(self.run_id)


class RunCancelled(PublicEvent):
    """The run is over. What it brought into the vault stays; what it did not read, the next run reads."""

    TYPE: ClassVar[str] = "holdfast.scheduler.run.cancelled.v1"
    run_id: UUID
    job_id: UUID
    run: int
    completed_at: datetime

    def key(self) -> str:
        return str(self.run_id)
