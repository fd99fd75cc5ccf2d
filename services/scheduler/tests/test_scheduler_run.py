"""Runs: whatever order the reports come in, and however often, the end is the same and never too good."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.common.contracts.scheduler import RunPartial
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.eventstore import DomainEvent
from holdfast.scheduler import announcements
from holdfast.scheduler.domain.run import (
    RUN,
    AcceptPlan,
    CancelRun,
    HoldObject,
    LoseObject,
    Missing,
    OpenRun,
    Order,
    PauseRun,
    RefuseRun,
    Report,
    ResumeRun,
    RunEnded,
    RunOpened,
    RunPaused,
    RunResumed,
    Totals,
)
from holdfast.scheduler.store import LockedRun

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
OPENED = RunOpened(
    run_id=UUID(int=1), job_id=UUID(int=2), number=1, trigger="manual", label="", full=False, requested_at=NOW
)


def plan(*names: str) -> AcceptPlan:
    return AcceptPlan(objects=names, at=NOW)


def hold(name: str, *gaps: str, **counts: int) -> HoldObject:
    return HoldObject(object=name, totals=Totals(**counts), gaps=gaps, at=NOW)


def lose(name: str, reason: str = "no access") -> LoseObject:
    return LoseObject(object=name, reason=reason, at=NOW)


def fold(*reports: Report | Order) -> list[DomainEvent]:
    """All events of a run that gets these reports."""
    events: list[DomainEvent] = [OPENED]
    state = RUN.fold(events)
    for report in reports:
        new = RUN.decide(report, state)
        state = RUN.fold(new, state)
        events += new
    return events


def end_of(*reports: Report | Order) -> RunEnded | None:
    ended = [event for event in fold(*reports) if isinstance(event, RunEnded)]
    assert len(ended) <= 1
    return ended[0] if ended else None


def test_run_is_opened_once() -> None:
    assert RUN.decide(OpenRun(OPENED), RUN.initial()) == [OPENED]
    assert RUN.decide(OpenRun(OPENED), RUN.fold([OPENED])) == []


def test_report_on_an_unknown_run_is_refused() -> None:
    with pytest.raises(HoldfastError) as refused:
        RUN.decide(plan("Account"), RUN.initial())
    assert refused.value.kind is Kind.NOT_FOUND


def test_completed_when_every_planned_object_is_held() -> None:
    assert end_of(plan("Account", "Contact"), hold("Account", captured=2)) is None
    ended = end_of(plan("Account", "Contact"), hold("Account", captured=2), hold("Contact", created=1, captured=3))
    assert ended == RunEnded(
        state="completed",
        objects=2,
        totals=Totals(captured=5, created=1),
        missing=(),
        reason="",
        completed_at=NOW,
    )


def test_outcomes_before_the_plan_are_kept() -> None:
    assert end_of(hold("Account"), lose("Contact")) is None
    ended = end_of(hold("Account", captured=1), lose("Contact", "locked"), plan("Account", "Contact"))
    assert ended is not None
    assert (ended.state, ended.missing) == ("partial", (Missing(object="Contact", reason="locked"),))


def test_gap_of_a_held_object_makes_the_run_partial() -> None:
    ended = end_of(plan("Account"), hold("Account", "Rows 1 to 5 are missing.", captured=9))
    assert ended is not None
    assert ended.state == "partial"
    assert ended.missing == (Missing(object="Account", reason="Rows 1 to 5 are missing."),)
    assert ended.totals.captured == 9


def test_unseen_records_make_the_run_partial() -> None:
    ended = end_of(plan("Account"), hold("Account", unseen=3))
    assert ended is not None
    assert ended.state == "partial"
    assert ended.missing[0].reason == "3 records were not returned, and nothing shows that they were deleted."


def test_failed_when_every_object_is_lost() -> None:
    ended = end_of(plan("Account", "Contact"), lose("Account", "no access"), lose("Contact", "timed out"))
    assert ended is not None
    assert ended.state == "failed"
    assert ended.reason == "All 2 objects could not be read. Account: no access; Contact: timed out"


def test_run_without_objects_never_completes() -> None:
    ended = end_of(plan())
    assert ended is not None
    assert ended.state == "failed"
    assert ended.reason.startswith("Nothing was backed up")


def test_refused_run_fails_with_its_reason() -> None:
    ended = end_of(RefuseRun(reason="The org cannot be reached.", at=NOW))
    assert ended is not None
    assert (ended.state, ended.reason) == ("failed", "The org cannot be reached.")


def test_nothing_follows_the_end() -> None:
    before = fold(plan("Account"), hold("Account"))
    for late in (plan("Contact"), hold("Account"), hold("Contact"), lose("Account"), RefuseRun("late", NOW)):
        assert RUN.decide(late, RUN.fold(before)) == []


def test_repeats_before_the_end_change_nothing() -> None:
    reports = [plan("Account", "Contact", "Lead"), hold("Account", captured=1), lose("Contact")]
    assert fold(*reports) == fold(*[report for one in reports for report in (one, one)])


def test_a_run_waits_for_every_page_of_its_plan() -> None:
    first, second = AcceptPlan(("Account",), NOW, 1, 2), AcceptPlan(("Contact",), NOW, 2, 2)
    assert end_of(first, first, hold("Account"), hold("Contact")) is None
    ended = end_of(second, hold("Account"), hold("Contact"), first)
    assert ended is not None
    assert (ended.state, ended.objects) == ("completed", 2)
    cancelled = end_of(second, hold("Account"), CancelRun(NOW))
    assert cancelled is not None
    assert [gap.object for gap in cancelled.missing] == ["Contact"]


def test_outcome_of_an_object_outside_the_plan_does_not_end_the_run() -> None:
    assert end_of(plan("Account"), hold("Contact")) is None


@st.composite
def shuffled_runs(draw: st.DrawFn) -> tuple[list[Report], list[Report]]:
    """The reports of one run, in order, and shuffled with repeats."""
    names = draw(st.lists(st.sampled_from("ABCDEFG"), unique=True, max_size=6))
    outcomes: list[Report] = [
        lose(name, "lost") if draw(st.booleans()) else hold(name, *draw(st.sampled_from([(), ("gap",)])), captured=1)
        for name in names
    ]
    cut = draw(st.integers(0, len(names)))
    pages = [AcceptPlan(tuple(part), NOW, page, 2) for page, part in ((1, names[:cut]), (2, names[cut:]))]
    in_order = [*(pages if draw(st.booleans()) else [plan(*names)]), *outcomes]
    repeats = draw(st.lists(st.sampled_from(in_order), max_size=5))
    return in_order, draw(st.permutations(in_order + repeats))


@given(shuffled_runs())
@settings(max_examples=300)
def test_order_and_repeats_do_not_change_the_end(runs: tuple[list[Report], list[Report]]) -> None:
    in_order, shuffled = runs
    ended = end_of(*shuffled)
    assert ended is not None
    assert ended == end_of(*in_order)
    outcomes = [report for report in in_order if not isinstance(report, AcceptPlan)]
    assert (ended.state == "completed") == (bool(outcomes) and not ended.missing)


def test_end_of_a_run_that_lost_thousands_of_objects_fits_into_an_event() -> None:
    names = [f"Managed__Package_Object_Number_{number}__c" for number in range(2000)]
    ended = end_of(plan("Account", *names), hold("Account"), *(lose(name, '"é\n' * 200) for name in names))
    assert ended is not None
    event = announcements.run_ended(LockedRun(UUID(int=1), UUID(int=2), 1), ended)
    assert isinstance(event, RunPartial)
    assert len(event.missing) == 2000
    assert len(event.model_dump_json().encode()) <= 262_144


def test_paused_and_resumed_once_however_often_it_is_asked() -> None:
    events = fold(PauseRun(), PauseRun(), ResumeRun(), ResumeRun(), PauseRun())
    assert events[1:] == [RunPaused(), RunResumed(), RunPaused()]


def test_run_that_holds_everything_ends_although_it_is_paused() -> None:
    ended = end_of(plan("Account"), PauseRun(), hold("Account", captured=2))
    assert ended is not None and ended.state == "completed"


def test_cancelled_run_keeps_what_it_holds_and_names_what_it_does_not() -> None:
    ended = end_of(plan("Account", "Contact", "Lead"), hold("Account", captured=2), lose("Lead"), CancelRun(NOW))
    assert ended is not None
    assert (ended.state, ended.objects, ended.totals) == ("cancelled", 3, Totals(captured=2))
    assert {gap.object: gap.reason for gap in ended.missing} == {
        "Lead": "no access",
        "Contact": "The run was cancelled before it held this object.",
    }


@pytest.mark.parametrize("before", [(), (plan("Account"),), (plan("Account"), PauseRun())])
def test_run_can_be_cancelled_at_any_moment_and_what_comes_later_does_no_harm(
    before: tuple[Report | Order, ...],
) -> None:
    events = fold(*before, CancelRun(NOW), CancelRun(NOW), plan("Account"), hold("Account", captured=1), lose("Lead"))
    assert sum(isinstance(event, RunEnded) for event in events) == 1
    assert isinstance(events[-1], RunEnded) and events[-1].state == "cancelled"


@pytest.mark.parametrize("order", [PauseRun(), ResumeRun(), CancelRun(NOW)])
def test_orders_to_a_run_that_has_ended_are_refused(order: Order) -> None:
    state = RUN.fold(fold(plan("Account"), hold("Account")))
    with pytest.raises(HoldfastError) as refused:
        RUN.decide(order, state)
    assert (refused.value.kind, refused.value.code) == (Kind.CONFLICT, "run-ended")
    assert refused.value.message.startswith("Run 1 has ended: completed. There is nothing left to ")
