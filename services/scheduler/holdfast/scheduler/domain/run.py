"""A run, from requested to completed, partial, failed or cancelled: the saga that folds what other services report.

The reports come from different topics, so that they may arrive in any order and any number of times: an
object's outcome may be known before the plan that lists it. The run ends when the plan is known and each of
its objects has an outcome; the end is the same for every order of arrival.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, reduce
from typing import ClassVar, Literal
from uuid import UUID

from holdfast.common.contracts.base import Value
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.eventstore import Decider, DomainEvent, EventTypes
from holdfast.scheduler.domain.job import Trigger

End = Literal["completed", "partial", "failed", "cancelled"]
_REASONS_SHOWN = 5
_REASON_MAX_CHARS = 500


class Totals(Value):
    """Events by operation. `unseen`: absent from a full scan without evidence of a deletion."""

    captured: int = 0
    created: int = 0
    updated: int = 0
    touched: int = 0
    deleted: int = 0
    undeleted: int = 0
    unseen: int = 0

    def plus(self, other: Totals) -> Totals:
        """The sum, operation by operation."""
        return Totals(**{name: getattr(self, name) + getattr(other, name) for name in Totals.model_fields})


class Missing(Value):
    """An object, or a part of it, that the run does not hold, and why."""

    object: str
    reason: str


class RunOpened(DomainEvent):
    """The run was asked for, by a person or by its slot."""

    TYPE: ClassVar[str] = "scheduler.run.opened"
    run_id: UUID
    job_id: UUID
    number: int
    trigger: Trigger
    label: str
    full: bool
    requested_at: datetime


class PlanAccepted(DomainEvent):
    """These objects will each end in an outcome. The plan is whole once all its pages are accepted."""

    TYPE: ClassVar[str] = "scheduler.run.plan_accepted"
    objects: tuple[str, ...]
    page: int = 1
    pages: int = 1


class ObjectHeld(DomainEvent):
    """The object is in the vault; `gaps` says what of it is not."""

    TYPE: ClassVar[str] = "scheduler.run.object_held"
    object: str
    totals: Totals
    gaps: tuple[str, ...]


class ObjectLost(DomainEvent):
    """The object could not be read whole."""

    TYPE: ClassVar[str] = "scheduler.run.object_lost"
    object: str
    reason: str


class RunPaused(DomainEvent):
    """Nobody works on the run for now. What is already on its way into the vault still arrives."""

    TYPE: ClassVar[str] = "scheduler.run.paused"


class RunResumed(DomainEvent):
    """The run goes on."""

    TYPE: ClassVar[str] = "scheduler.run.resumed"


class RunEnded(DomainEvent):
    """The run is over, for good."""

    TYPE: ClassVar[str] = "scheduler.run.ended"
    state: End
    objects: int
    totals: Totals
    missing: tuple[Missing, ...]
    reason: str
    completed_at: datetime


@dataclass(frozen=True)
class OpenRun:
    """Start the run's stream."""

    opened: RunOpened


@dataclass(frozen=True)
class AcceptPlan:
    """The extractor says which objects it will read: a page of its plan."""

    objects: tuple[str, ...]
    at: datetime
    page: int = 1
    pages: int = 1


@dataclass(frozen=True)
class HoldObject:
    """The differ says that the object is complete in the vault."""

    object: str
    totals: Totals
    gaps: tuple[str, ...]
    at: datetime


@dataclass(frozen=True)
class LoseObject:
    """The extractor gave the object up."""

    object: str
    reason: str
    at: datetime


@dataclass(frozen=True)
class RefuseRun:
    """The extractor cannot plan the run at all."""

    reason: str
    at: datetime


@dataclass(frozen=True)
class PauseRun:
    """A person wants the run to rest."""


@dataclass(frozen=True)
class ResumeRun:
    """A person wants the run to go on."""


@dataclass(frozen=True)
class CancelRun:
    """A person wants the run to end now."""

    at: datetime


Report = AcceptPlan | HoldObject | LoseObject | RefuseRun
Order = PauseRun | ResumeRun | CancelRun
RunCommand = OpenRun | Report | Order


@dataclass(frozen=True)
class RunState:
    """What is known of the run. `plan` has the objects of each page of the plan, of which there are `pages`."""

    opened: RunOpened | None = None
    plan: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    pages: int | None = None
    held: Mapping[str, ObjectHeld] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)
    paused: bool = False
    end: End | None = None

    @cached_property
    def known(self) -> tuple[str, ...]:
        """The objects that are planned, as far as the plan is known."""
        return tuple(dict.fromkeys(name for page in sorted(self.plan) for name in self.plan[page]))

    @property
    def planned(self) -> tuple[str, ...] | None:
        """The objects that are planned; None while the plan is not known whole."""
        return self.known if len(self.plan) == self.pages else None


def decide(command: RunCommand, state: RunState) -> list[DomainEvent]:
    """What happens to the run because of the command; nothing for a repeat, or for a report after the end.

    Raises:
        HoldfastError: NOT_FOUND for a run that was never opened; CONFLICT `run-ended` for an order to a run that
            has ended in another way.
    """
    if isinstance(command, OpenRun):
        return [] if state.opened else [command.opened]
    if state.opened is None:
        raise HoldfastError(Kind.NOT_FOUND, "There is no such run.", code="unknown-run")
    if isinstance(command, PauseRun | ResumeRun | CancelRun):
        return _ordered(command, state, state.opened)
    if state.end is not None:
        return []
    if isinstance(command, RefuseRun):
        return [_failed(command.reason, 0, (), command.at)]
    reported = _reported(command, state)
    if reported is None:
        return []
    ended = _conclude(evolve(state, reported), command.at)
    return [reported, ended] if ended else [reported]


def evolve(state: RunState, event: DomainEvent) -> RunState:
    """The state after the event."""
    match event:
        case RunOpened():
            state = replace(state, opened=event)
        case PlanAccepted():
            state = replace(state, plan={**state.plan, event.page: event.objects}, pages=event.pages)
        case ObjectHeld():
            state = replace(state, held={**state.held, event.object: event})
        case ObjectLost():
            state = replace(state, lost={**state.lost, event.object: event.reason})
        case RunPaused() | RunResumed():
            state = replace(state, paused=isinstance(event, RunPaused))
        case RunEnded():
            state = replace(state, end=event.state)
    return state


RUN: Decider[RunCommand, RunState, DomainEvent] = Decider(
    initial=RunState,
    decide=decide,
    evolve=evolve,
    types=EventTypes(RunOpened, PlanAccepted, ObjectHeld, ObjectLost, RunPaused, RunResumed, RunEnded),
)


def run_stream(run_id: UUID) -> str:
    """The stream of that run."""
    return f"run-{run_id}"


def _ordered(command: Order, state: RunState, opened: RunOpened) -> list[DomainEvent]:
    if state.end is not None:
        if isinstance(command, CancelRun) and state.end == "cancelled":
            return []
        sentence = f"Run {opened.number} has ended: {state.end}. There is nothing left to {_VERBS[type(command)]}."
        raise HoldfastError(Kind.CONFLICT, sentence, code="run-ended")
    if isinstance(command, CancelRun):
        return [_cancelled(state, command.at)]
    if isinstance(command, PauseRun):
        return [] if state.paused else [RunPaused()]
    return [RunResumed()] if state.paused else []


_VERBS: Mapping[type, str] = {PauseRun: "pause", ResumeRun: "resume", CancelRun: "cancel"}


def _cancelled(state: RunState, at: datetime) -> RunEnded:
    """The end by order: what is in the vault counts, everything else that was planned is missing."""
    planned = state.known
    held = [state.held[name] for name in planned if name in state.held and name not in state.lost]
    left = [name for name in planned if name not in state.held and name not in state.lost]
    missing = [gap for name in planned if name not in left for gap in _missing_of(name, state)]
    missing += [Missing(object=name, reason="The run was cancelled before it held this object.") for name in left]
    return RunEnded(
        state="cancelled",
        objects=len(planned),
        totals=reduce(Totals.plus, (one.totals for one in held), Totals()),
        missing=tuple(missing),
        reason="The run was cancelled. The next run reads what this one did not.",
        completed_at=at,
    )


def _reported(command: AcceptPlan | HoldObject | LoseObject, state: RunState) -> DomainEvent | None:
    """The event of a report that is new."""
    if isinstance(command, AcceptPlan):
        if command.page in state.plan:
            return None
        return PlanAccepted(objects=tuple(dict.fromkeys(command.objects)), page=command.page, pages=command.pages)
    if isinstance(command, HoldObject):
        if command.object in state.held:
            return None
        return ObjectHeld(object=command.object, totals=command.totals, gaps=command.gaps)
    if command.object in state.lost:
        return None
    return ObjectLost(object=command.object, reason=command.reason[:_REASON_MAX_CHARS])


def _conclude(state: RunState, at: datetime) -> RunEnded | None:
    """The run's end, once each planned object has an outcome. A loss counts even beside a hold of the object:
    a run never claims more than every witness confirms."""
    if state.planned is None:
        return None
    if not state.planned:
        return _failed("Nothing was backed up: no object was left to read after planning.", 0, (), at)
    if any(name not in state.lost and name not in state.held for name in state.planned):
        return None
    missing = tuple(gap for name in state.planned for gap in _missing_of(name, state))
    if all(name in state.lost for name in state.planned):
        return _failed(_all_lost(missing), len(state.planned), missing, at)
    totals = Totals()
    for name in state.planned:
        if name in state.held:
            totals = totals.plus(state.held[name].totals)
    return RunEnded(
        state="partial" if missing else "completed",
        objects=len(state.planned),
        totals=totals,
        missing=missing,
        reason="",
        completed_at=at,
    )


def _missing_of(name: str, state: RunState) -> list[Missing]:
    if name in state.lost:
        return [Missing(object=name, reason=state.lost[name])]
    held = state.held[name]
    gaps = [Missing(object=name, reason=gap[:_REASON_MAX_CHARS]) for gap in held.gaps]
    if held.totals.unseen and not gaps:
        records = "1 record was" if held.totals.unseen == 1 else f"{held.totals.unseen} records were"
        gaps.append(Missing(object=name, reason=f"{records} not returned, and nothing shows that they were deleted."))
    return gaps


def _all_lost(missing: tuple[Missing, ...]) -> str:
    shown = "; ".join(f"{gap.object}: {gap.reason}" for gap in missing[:_REASONS_SHOWN])
    more = f"; and {len(missing) - _REASONS_SHOWN} more" if len(missing) > _REASONS_SHOWN else ""
    which = "The only object" if len(missing) == 1 else f"All {len(missing)} objects"
    return f"{which} could not be read. {shown}{more}"


def _failed(reason: str, objects: int, missing: tuple[Missing, ...], at: datetime) -> RunEnded:
    return RunEnded(state="failed", objects=objects, totals=Totals(), missing=missing, reason=reason, completed_at=at)
