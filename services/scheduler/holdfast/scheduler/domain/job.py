"""A backup job: its settings, the numbering of its runs, and that only one of them is active."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.eventstore import Decider, DomainEvent, EventTypes
from holdfast.scheduler.domain.slots import check_schedule

NAME_MAX_CHARS = 120
# Leaves a fifth of the org's daily calls to everybody else.
API_LIMIT_PERCENT = 80
Trigger = Literal["manual", "slot"]


class JobCreated(DomainEvent):
    """The job exists. `objects` empty: every recommended object of the org. `cron` empty: only when asked."""

    TYPE: ClassVar[str] = "scheduler.job.created"
    job_id: UUID
    name: str
    connection_id: UUID
    objects: tuple[str, ...]
    cron: str
    time_zone: str
    created_at: datetime
    api_limit_percent: int = API_LIMIT_PERCENT


class ApiLimitChanged(DomainEvent):
    """From its next run on the job waits at another share of the org's daily API calls."""

    TYPE: ClassVar[str] = "scheduler.job.api_limit_changed"
    percent: int


class RunNumbered(DomainEvent):
    """A run got the next number and is the job's active one. `slot`: the due time that caused it."""

    TYPE: ClassVar[str] = "scheduler.job.run_numbered"
    run_id: UUID
    number: int
    slot: datetime | None = None


class RunReleased(DomainEvent):
    """The active run ended; the next one may start."""

    TYPE: ClassVar[str] = "scheduler.job.run_released"
    run_id: UUID


@dataclass(frozen=True)
class CreateJob:
    """`objects` is already held against the org's offer (`selection.choose`)."""

    job_id: UUID
    name: str
    connection_id: UUID
    objects: tuple[str, ...]
    cron: str
    time_zone: str
    at: datetime
    api_limit_percent: int = API_LIMIT_PERCENT


@dataclass(frozen=True)
class ChangeApiLimit:
    """Another share of the org's daily API calls at which the job's runs wait."""

    percent: int


@dataclass(frozen=True)
class NumberRun:
    """Give a new run the next number. A `slot` that has fired before does nothing."""

    run_id: UUID
    slot: datetime | None = None


@dataclass(frozen=True)
class ReleaseRun:
    """The run ended."""

    run_id: UUID


JobCommand = CreateJob | ChangeApiLimit | NumberRun | ReleaseRun


@dataclass(frozen=True)
class JobState:
    """What a job needs to remember to decide. `last_number` 0: no run yet."""

    settings: JobCreated | None = None
    last_number: int = 0
    active: UUID | None = None
    api_limit_percent: int = API_LIMIT_PERCENT
    last_slot: datetime | None = None


def decide(command: JobCommand, state: JobState) -> list[DomainEvent]:
    """What happens to the job because of the command.

    Raises:
        HoldfastError: INVALID for a bad name or schedule; NOT_FOUND for a job that does not exist; CONFLICT
            `run-active` while another run of the job is active.
    """
    if isinstance(command, CreateJob):
        return _create(command, state)
    if state.settings is None:
        raise HoldfastError(Kind.NOT_FOUND, "There is no such job.", code="unknown-job")
    if isinstance(command, NumberRun):
        return _number(command, state, state.settings)
    if isinstance(command, ChangeApiLimit):
        percent = check_percent(command.percent)
        return [] if percent == state.api_limit_percent else [ApiLimitChanged(percent=percent)]
    return [RunReleased(run_id=command.run_id)] if state.active == command.run_id else []


def evolve(state: JobState, event: DomainEvent) -> JobState:
    """The state after the event."""
    if isinstance(event, JobCreated):
        return replace(state, settings=event, api_limit_percent=event.api_limit_percent)
    if isinstance(event, ApiLimitChanged):
        return replace(state, api_limit_percent=event.percent)
    if isinstance(event, RunNumbered):
        slot = event.slot or state.last_slot
        return replace(state, last_number=event.number, active=event.run_id, last_slot=slot)
    if isinstance(event, RunReleased):
        return replace(state, active=None)
    return state


JOB: Decider[JobCommand, JobState, DomainEvent] = Decider(
    initial=JobState,
    decide=decide,
    evolve=evolve,
    types=EventTypes(JobCreated, ApiLimitChanged, RunNumbered, RunReleased),
)


def job_stream(job_id: UUID) -> str:
    """The stream of that job."""
    return f"job-{job_id}"


def check_name(name: str) -> str:
    """The name without outer blanks.

    Raises:
        HoldfastError: INVALID, field `name`, when it is empty, too long or holds control characters.
    """
    trimmed = name.strip()
    if not trimmed:
        raise _bad_name("A job needs a name.")
    if len(trimmed) > NAME_MAX_CHARS:
        raise _bad_name(f"The name has {len(trimmed)} characters; at most {NAME_MAX_CHARS} are allowed.")
    if not trimmed.isprintable():
        raise _bad_name("The name holds a line break or another character that cannot be printed.")
    return trimmed


def check_percent(percent: int) -> int:
    """The share of the org's daily API calls at which runs wait.

    Raises:
        HoldfastError: INVALID, field `api_limit_percent`, outside 1 to 100.
    """
    if not 1 <= percent <= 100:
        raise HoldfastError(
            Kind.INVALID,
            f"The API limit is a percentage from 1 to 100 of the org's daily calls, not {percent}.",
            code="bad-api-limit",
            field="api_limit_percent",
        )
    return percent


def _create(command: CreateJob, state: JobState) -> list[DomainEvent]:
    if state.settings is not None:
        return []
    check_schedule(command.cron, command.time_zone, command.at)
    return [
        JobCreated(
            job_id=command.job_id,
            name=check_name(command.name),
            connection_id=command.connection_id,
            objects=command.objects,
            cron=command.cron,
            time_zone=command.time_zone,
            created_at=command.at,
            api_limit_percent=check_percent(command.api_limit_percent),
        )
    ]


def _number(command: NumberRun, state: JobState, settings: JobCreated) -> list[DomainEvent]:
    if state.active == command.run_id:
        return []
    if command.slot and state.last_slot and command.slot <= state.last_slot:
        return []
    if state.active is not None:
        raise HoldfastError(
            Kind.CONFLICT,
            f"Run {state.last_number} of job {settings.name!r} is still active ({state.active}). "
            "Wait until it has ended.",
            code="run-active",
        )
    return [RunNumbered(run_id=command.run_id, number=state.last_number + 1, slot=command.slot)]


def _bad_name(message: str) -> HoldfastError:
    return HoldfastError(Kind.INVALID, message, code="bad-name", field="name")
