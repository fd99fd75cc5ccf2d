"""Jobs: given events, when a command comes, then these events or this refusal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.eventstore import DomainEvent
from holdfast.scheduler.domain.job import (
    JOB,
    ApiLimitChanged,
    ChangeApiLimit,
    CreateJob,
    JobCommand,
    JobCreated,
    NumberRun,
    ReleaseRun,
    RunNumbered,
    RunReleased,
    check_name,
)
from holdfast.scheduler.domain.selection import OfferedObject, choose
from holdfast.scheduler.domain.slots import check_schedule, next_slot

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
JOB_ID, CONNECTION, FIRST, SECOND = (UUID(int=n) for n in range(1, 5))
CREATE = CreateJob(JOB_ID, " Nightly ", CONNECTION, ("Account",), "0 2 * * *", "Europe/Berlin", NOW)
CREATED = JobCreated(
    job_id=JOB_ID,
    name="Nightly",
    connection_id=CONNECTION,
    objects=("Account",),
    cron="0 2 * * *",
    time_zone="Europe/Berlin",
    created_at=NOW,
)


def when(given: list[DomainEvent], command: JobCommand) -> list[DomainEvent]:
    return JOB.decide(command, JOB.fold(given))


def test_job_is_created_once() -> None:
    assert when([], CREATE) == [CREATED]
    assert when([CREATED], CREATE) == []


def test_runs_are_numbered_without_gaps() -> None:
    first = RunNumbered(run_id=FIRST, number=1)
    assert when([CREATED], NumberRun(FIRST)) == [first]
    given = [CREATED, first, RunReleased(run_id=FIRST)]
    assert when(given, NumberRun(SECOND)) == [RunNumbered(run_id=SECOND, number=2)]


def test_repeated_numbering_changes_nothing() -> None:
    assert when([CREATED, RunNumbered(run_id=FIRST, number=1)], NumberRun(FIRST)) == []


def test_second_run_is_refused_while_one_is_active() -> None:
    with pytest.raises(HoldfastError) as refused:
        when([CREATED, RunNumbered(run_id=FIRST, number=7)], NumberRun(SECOND))
    assert (refused.value.kind, refused.value.code) == (Kind.CONFLICT, "run-active")
    assert "Run 7 of job 'Nightly'" in refused.value.message
    assert str(FIRST) in refused.value.message


def test_slot_fires_once() -> None:
    fired = [CREATED, RunNumbered(run_id=FIRST, number=1, slot=NOW), RunReleased(run_id=FIRST)]
    assert when(fired, NumberRun(SECOND, slot=NOW)) == []
    later = NOW + timedelta(days=1)
    assert when(fired, NumberRun(SECOND, slot=later)) == [RunNumbered(run_id=SECOND, number=2, slot=later)]


def test_only_the_active_run_releases_the_job() -> None:
    given = [CREATED, RunNumbered(run_id=FIRST, number=1)]
    assert when(given, ReleaseRun(SECOND)) == []
    assert when(given, ReleaseRun(FIRST)) == [RunReleased(run_id=FIRST)]
    assert when([*given, RunReleased(run_id=FIRST)], ReleaseRun(FIRST)) == []


def test_unknown_job_has_no_runs() -> None:
    with pytest.raises(HoldfastError) as refused:
        when([], NumberRun(FIRST))
    assert refused.value.kind is Kind.NOT_FOUND


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("   ", "A job needs a name."),
        ("x" * 121, "The name has 121 characters; at most 120 are allowed."),
        ("a\nb", "The name holds a line break or another character that cannot be printed."),
        ("a\0b", "The name holds a line break or another character that cannot be printed."),
    ],
)
def test_bad_name_is_refused(name: str, sentence: str) -> None:
    with pytest.raises(HoldfastError) as refused:
        check_name(name)
    assert (refused.value.message, refused.value.field) == (sentence, "name")


def test_longest_name_is_taken() -> None:
    assert check_name("x" * 120) == "x" * 120


@pytest.mark.parametrize(
    ("cron", "zone", "field", "part"),
    [
        ("0 2 * *", "UTC", "cron", "five fields"),
        ("0 0 2 * * *", "UTC", "cron", "five fields"),
        ("61 * * * *", "UTC", "cron", "Bad minute"),
        ("0 0 31 2 *", "UTC", "cron", "Bad day-of-month"),
        ("0 2 * * *", "Europe/Berlln", "time_zone", "'Europe/Berlln' is not a time zone"),
        ("0 2 * * *", "../../etc/passwd", "time_zone", "is not a time zone"),
        ("", "Europe", "time_zone", "is not a time zone"),
    ],
)
def test_bad_schedule_is_refused(cron: str, zone: str, field: str, part: str) -> None:
    with pytest.raises(HoldfastError) as refused:
        check_schedule(cron, zone, NOW)
    assert (refused.value.kind, refused.value.field) == (Kind.INVALID, field)
    assert part in refused.value.message


def test_slots_follow_the_time_zone_across_daylight_saving() -> None:
    before = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
    first = next_slot("30 2 * * *", "Europe/Berlin", before)
    assert first == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)  # 02:30 does not exist; right after the jump
    assert next_slot("30 2 * * *", "Europe/Berlin", first) == datetime(2026, 3, 30, 0, 30, tzinfo=UTC)
    autumn = datetime(2026, 10, 24, 23, 0, tzinfo=UTC)
    once = next_slot("30 2 * * *", "Europe/Berlin", autumn)
    assert once == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert next_slot("30 2 * * *", "Europe/Berlin", once) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


def test_job_without_schedule_is_never_due() -> None:
    assert next_slot("", "UTC", NOW) is None


OFFER = [
    OfferedObject("Account", recommended=True),
    OfferedObject("AccountHistory", recommended=False, reason="history is kept by Salesforce"),
    OfferedObject("Secret__c", recommended=False, reason="The user has no read permission.", readable=False),
]


def test_selection_takes_the_orgs_spelling() -> None:
    assert choose(["account", "ACCOUNTHISTORY"], OFFER) == ("Account", "AccountHistory")


def test_empty_selection_means_all_recommended() -> None:
    assert choose([], OFFER) == ()


@pytest.mark.parametrize(
    ("selection", "code", "field", "sentence"),
    [
        (
            ["Account", "AccountHistory", "Acount"],
            "unknown-object",
            "objects[2]",
            "The org has no object 'Acount', or the connection's user may not see it.",
        ),
        (
            ["Secret__c"],
            "unreadable-object",
            "objects[0]",
            "The object Secret__c cannot be backed up: The user has no read permission.",
        ),
        (["Account", "account"], "repeated-object", "objects[1]", "The object Account is named twice."),
    ],
)
def test_bad_selection_names_its_place(selection: list[str], code: str, field: str, sentence: str) -> None:
    with pytest.raises(HoldfastError) as refused:
        choose(selection, OFFER)
    assert (refused.value.code, refused.value.field, refused.value.message) == (code, field, sentence)


def test_selection_of_nothing_is_refused() -> None:
    with pytest.raises(HoldfastError) as refused:
        choose([], OFFER[1:])
    assert refused.value.code == "empty-selection"
    assert refused.value.message.startswith("The selection is empty:")


def test_api_limit_is_changed_once_and_only_to_a_percentage() -> None:
    assert when([CREATED], ChangeApiLimit(80)) == []
    assert when([CREATED], ChangeApiLimit(40)) == [ApiLimitChanged(percent=40)]
    assert when([CREATED, ApiLimitChanged(percent=40)], ChangeApiLimit(40)) == []
    for wrong in (0, 101, -5):
        with pytest.raises(HoldfastError) as refused:
            when([CREATED], ChangeApiLimit(wrong))
        assert (refused.value.kind, refused.value.field) == (Kind.INVALID, "api_limit_percent")
