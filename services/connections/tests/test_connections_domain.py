"""Given what happened, when a command comes, then this follows."""

from __future__ import annotations

from uuid import UUID

import pytest

from holdfast.common.errors import HoldfastError, Kind
from holdfast.connections.domain import (
    CONNECTION,
    AddConnection,
    Command,
    ConnectionAdded,
    ConnectionBroken,
    ConnectionMoved,
    ConnectionRecovered,
    ConnectionSurveyed,
    Event,
    MarkBroken,
    NoteSignIn,
    Survey,
    check_name,
)

ID = UUID(int=1)
ORG = "00D000000000001AAA"
HOME = "https://example.my.salesforce.com"
SURVEY = Survey(organization_name="Example", username="ann@example.com", api_version="62.0", warnings=())
ADD = AddConnection(
    connection_id=ID,
    name="Production",
    login_url=HOME,
    instance_url=HOME,
    flow="client_credentials",
    client_id="app",
    organization_id=ORG,
    survey=SURVEY,
)
ADDED = ConnectionAdded(
    connection_id=ID,
    name="Production",
    login_url=HOME,
    instance_url=HOME,
    flow="client_credentials",
    client_id="app",
    organization_id=ORG,
    survey=SURVEY,
)
BROKEN = ConnectionBroken(reason="The client secret is wrong.")
SIGNED_IN = NoteSignIn(ORG, HOME)


def when(command: Command, *given: Event) -> list[Event]:
    return CONNECTION.decide(command, CONNECTION.fold(given))


def refused(command: Command, *given: Event) -> HoldfastError:
    with pytest.raises(HoldfastError) as caught:
        when(command, *given)
    return caught.value


def test_adding() -> None:
    assert when(ADD) == [ADDED]


def test_adding_again_changes_nothing() -> None:
    assert when(ADD, ADDED) == []


def test_breaking() -> None:
    assert when(MarkBroken(BROKEN.reason), ADDED) == [BROKEN]


def test_breaking_what_is_broken_is_news_only_for_another_reason() -> None:
    assert when(MarkBroken(BROKEN.reason), ADDED, BROKEN) == []
    assert when(MarkBroken("Another org."), ADDED, BROKEN) == [ConnectionBroken(reason="Another org.")]


def test_breaking_again_after_recovery_is_news() -> None:
    assert when(MarkBroken(BROKEN.reason), ADDED, BROKEN, ConnectionRecovered()) == [BROKEN]


def test_reason_is_kept_within_bounds() -> None:
    (event,) = when(MarkBroken("x" * 10_000), ADDED)
    assert isinstance(event, ConnectionBroken)
    assert len(event.reason) == 500


def test_sign_in_of_a_healthy_connection_changes_nothing() -> None:
    assert when(SIGNED_IN, ADDED) == []
    assert when(NoteSignIn(ORG, HOME, SURVEY), ADDED) == []


def test_sign_in_mends_a_broken_connection_once() -> None:
    assert when(SIGNED_IN, ADDED, BROKEN) == [ConnectionRecovered()]
    assert when(SIGNED_IN, ADDED, BROKEN, ConnectionRecovered()) == []


def test_org_that_moved_is_followed_once() -> None:
    moved = NoteSignIn(ORG, "https://new.my.salesforce.com")
    event = ConnectionMoved(instance_url="https://new.my.salesforce.com")
    assert when(moved, ADDED) == [event]
    assert when(moved, ADDED, event) == []


def test_new_findings_are_kept_once() -> None:
    survey = SURVEY.model_copy(update={"api_version": "66.0"})
    event = ConnectionSurveyed(survey=survey)
    assert when(NoteSignIn(ORG, HOME, survey), ADDED) == [event]
    assert when(NoteSignIn(ORG, HOME, survey), ADDED, event) == []


def test_another_org_is_refused_and_says_which() -> None:
    error = refused(NoteSignIn("00D000000000002AAA", HOME), ADDED, BROKEN)
    assert (error.kind, error.code) == (Kind.CONFLICT, "other-org")
    assert ORG in error.message
    assert "00D000000000002AAA" in error.message


@pytest.mark.parametrize("command", [MarkBroken("x"), SIGNED_IN])
def test_connection_that_does_not_exist(command: Command) -> None:
    assert refused(command).kind is Kind.NOT_FOUND


def test_events_survive_the_store() -> None:
    for event in (ADDED, BROKEN, ConnectionRecovered(), ConnectionSurveyed(survey=SURVEY)):
        assert CONNECTION.types.decode(event.TYPE, event.model_dump_json()) == event


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "a\x00b", "x" * 121])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(HoldfastError) as caught:
        check_name(name)
    assert (caught.value.kind, caught.value.field) == (Kind.INVALID, "name")


def test_names_that_are_kept() -> None:
    assert check_name("  Produktion · EU ") == "Produktion · EU"
    assert check_name("x" * 120) == "x" * 120
