"""The verdict, as a function of what was found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.common.contracts.extractor import Census, ObjectExtracted, OrgCount, View
from holdfast.differ.outcomes import gaps_of, proof_of
from holdfast.differ.proving import Doubt, Facts, MassRule, Vanished, Verdict, horizon, judge
from holdfast.vault.census import Comparison, Named, Sums

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
ORG = "00D000000000001EAA"
ALL = View(organization_id=ORG, user_id="005000000000001AAA", sees_all=True, unchanged=True)
NOBODY = Named(0)


def extracted(mode: str = "incremental", count: int | None = None, **said: Any) -> ObjectExtracted:
    base: dict[str, Any] = {"run_id": UUID(int=1), "job_id": UUID(int=2), "run": 3, "object": "Thing__c", "pages": 1}
    base |= {"rows": 1, "manifest": "", "api_calls": 1, "watermark": AT, "view": ALL, "mode": mode}
    return ObjectExtracted(**{**base, "count": None if count is None else OrgCount(records=count, at=AT), **said})


def found(**differences: Any) -> Comparison:
    none = dict.fromkeys(("missing", "outdated", "recent", "absent"), NOBODY)
    return Comparison(**{"listed": 0, "sums": Sums(0, "", ""), "newer": 0, **none, **differences})


def facts(said: ObjectExtracted, alive: int, **other: Any) -> Facts:
    known: dict[str, Any] = {"earlier": (), "stamped": True, "organization_id": ORG, "compared": None}
    return Facts(said, alive=alive, **{**known, **other})


def verdict_of(*args: Any, **other: Any) -> Any:
    return judge(facts(*args, **other), MassRule())


def test_equal_counts_are_proof() -> None:
    assert verdict_of(extracted(count=7), 7) == Verdict("proven", "count")


def test_without_a_count_nothing_is_proven_and_the_reason_is_passed_on() -> None:
    verdict = verdict_of(extracted(not_counted="Big objects cannot be counted."), 7)
    assert (verdict.state, verdict.reason) == ("not proven", "Big objects cannot be counted.")


@pytest.mark.parametrize(
    ("count", "stamped", "pass_number", "wanted"),
    [(8, True, 1, "delta"), (8, False, 1, "census"), (6, True, 1, "census"), (8, True, 2, "census")],
)
def test_another_count_is_a_doubt(count: int, stamped: bool, pass_number: int, wanted: str) -> None:
    doubt = verdict_of(extracted(count=count, pass_number=pass_number), 7, stamped=stamped)
    assert isinstance(doubt, Doubt) and doubt.wanted == wanted


def test_no_object_is_doubted_a_third_time() -> None:
    verdict = verdict_of(extracted(count=8, pass_number=3), 7)
    assert isinstance(verdict, Verdict) and verdict.state == "not proven"


def census_of(listed: int, **said: Any) -> ObjectExtracted:
    return extracted(census=Census(records=listed, ids="a", stamps="b"), **said)


def listed(count: int, **differences: Any) -> Comparison:
    return found(listed=count, sums=Sums(count, "a", "b"), **differences)


def test_a_census_that_agrees_proves_ids_and_stamps() -> None:
    assert verdict_of(census_of(7, count=7), 7, compared=listed(7)) == Verdict("proven", "ids and stamps")


@pytest.mark.parametrize("sums", [Sums(6, "a", "b"), Sums(7, "c", "b"), Sums(7, "a", "c"), Sums(7, "a", "")])
def test_a_list_that_is_not_what_was_listed_proves_nothing(sums: Sums) -> None:
    said = census_of(7, count=7, pass_number=3)
    assert verdict_of(said, 7, compared=found(listed=7, sums=sums)).state == "not proven"


def test_what_the_vault_lacks_is_a_mismatch_that_names_it() -> None:
    verdict = verdict_of(
        census_of(8, count=8), 7, compared=listed(8, missing=Named(1, ("x",)), outdated=Named(1, ("y",)))
    )
    assert (verdict.state, verdict.missing.ids, verdict.outdated.ids) == ("mismatch", ("x",), ("y",))
    gaps = gaps_of(facts(census_of(8), 7), verdict)
    assert len(gaps) == 2 and "(x)" in gaps[0] and "(y)" in gaps[1]


def test_what_came_while_it_was_compared_asks_for_the_delta_and_then_for_no_more() -> None:
    moving = listed(8, recent=Named(1, ("x",)))
    doubt = verdict_of(census_of(8, count=8, pass_number=2), 7, compared=moving)
    assert isinstance(doubt, Doubt) and doubt.wanted == "delta"
    assert verdict_of(census_of(8, count=8, pass_number=3), 7, compared=moving).state == "not proven"


def test_a_count_that_stays_off_by_one_is_said_and_names_nobody() -> None:
    verdict = verdict_of(census_of(7, count=8, pass_number=3), 7, compared=listed(7))
    assert verdict.state == "not proven" and "lists 7" in verdict.reason and "counts 8" in verdict.reason


GONE = listed(6, absent=Named(1, ("x",)))


def test_who_is_absent_from_a_complete_list_is_gone() -> None:
    assert verdict_of(census_of(6, count=6), 7, compared=GONE) == Vanished(1)


def test_one_list_alone_deletes_nobody() -> None:
    """A page that lost a record, while another record was deleted, leaves the count right."""
    whole = found(listed=6, absent=Named(1, ("x",)))
    doubt = verdict_of(extracted("full", count=6), 7, compared=whole)
    assert isinstance(doubt, Doubt) and doubt.wanted == "census"
    verdict = verdict_of(extracted("full", count=6, pass_number=3), 7, compared=whole)
    assert isinstance(verdict, Verdict) and (verdict.state, verdict.unseen.ids) == ("not proven", ("x",))


@pytest.mark.parametrize(
    ("said", "organization_id"),
    [
        (census_of(6, count=7, pass_number=3), ORG),
        (census_of(6, pass_number=3), ORG),
        (census_of(6, count=6, view=None), ORG),
        (census_of(6, count=6, view=ALL.model_copy(update={"sees_all": False})), ORG),
        (census_of(6, count=6, view=ALL.model_copy(update={"unchanged": False})), ORG),
        (census_of(6, count=6, view=ALL.model_copy(update={"reason": "The rights are new."})), ORG),
        (census_of(6, count=6), "00D000000000002EAA"),
        (census_of(6, count=6), ""),
    ],
)
def test_without_evidence_absence_is_never_a_deletion(said: ObjectExtracted, organization_id: str) -> None:
    verdict = verdict_of(said, 7, compared=GONE, organization_id=organization_id)
    assert isinstance(verdict, Verdict)
    assert (verdict.state, verdict.unseen.ids) == ("not proven", ("x",))
    assert "(x)" in gaps_of(facts(said, 7), verdict)[0]


def test_who_leaves_an_org_that_keeps_moving_is_no_alarm_and_no_deletion() -> None:
    said = census_of(6, count=7, pass_number=3)
    verdict = verdict_of(said, 7, compared=GONE, earlier=[extracted(count=9)])
    assert (verdict.state, verdict.unseen.count) == ("not proven", 0)
    assert "(x)" in verdict.reason and gaps_of(facts(said, 7), verdict) == []


@pytest.mark.parametrize(
    ("absent", "alive", "held"), [(19, 20, False), (20, 20, True), (20, 199, True), (20, 200, False), (100, 999, True)]
)
def test_too_many_at_once_are_not_believed(absent: int, alive: int, held: bool) -> None:
    left = alive - absent
    outcome = verdict_of(census_of(left, count=left), alive, compared=listed(left, absent=Named(absent, ("x",))))
    assert isinstance(outcome, Verdict) is held
    assert not held or (outcome.held and outcome.unseen.count == absent and "10 %" in outcome.reason)


def test_a_loss_that_was_not_made_good_is_never_proven() -> None:
    verdict = verdict_of(extracted(count=7), 7, lost="What run 2 read is missing.")
    assert verdict.state == "not proven"
    assert gaps_of(facts(extracted(), 7, lost="What run 2 read is missing."), verdict) == [
        "What run 2 read is missing."
    ]


def test_the_proof_carries_the_numbers() -> None:
    said = census_of(8, count=8, pass_number=2)
    verdict = verdict_of(said, 7, compared=listed(8, missing=Named(1, ("x",))))
    proof = proof_of(facts(said, 7), verdict, AT)
    assert (proof.org_records, proof.vault_records, proof.passes, proof.missing_ids) == (8, 7, 2, ["x"])


def test_all_that_was_there_when_the_delta_began_must_have_been_read() -> None:
    first = extracted(count=7, watermark=AT - timedelta(days=1))
    delta = extracted(count=7, purpose="delta", pass_number=2, watermark=AT + timedelta(hours=1))
    assert horizon(census_of(7, count=7, purpose="census"), [first, delta]).missing == AT
    assert horizon(census_of(7, count=8, purpose="census"), [first, delta]).missing == AT - timedelta(minutes=10)
    late = AT + timedelta(days=1)
    assert horizon(census_of(7, count=7, watermark=late, purpose="census"), [first]).missing == first.watermark


Held = st.dictionaries(st.integers(0, 9), st.integers(0, 3))


@settings(max_examples=400)
@given(
    Held, Held, st.integers(-1, 1), st.integers(1, 3), st.booleans(), st.integers(0, 3), st.sampled_from(["", "full"])
)
def test_never_proven_while_the_sets_differ(
    vault: dict[int, int], org: dict[int, int], off: int, pass_number: int, sees_all: bool, due: int, whole: str
) -> None:
    """Whatever the org counts, whoever looks, however young the records: ids that differ are never said to agree."""
    missing, outdated, recent = split(vault, org, due)
    view = ALL.model_copy(update={"sees_all": sees_all})
    compared = listed(
        len(org),
        missing=named(missing),
        outdated=named(outdated),
        recent=named(recent),
        newer=sum(vault[n] > org[n] for n in vault.keys() & org.keys()),
        absent=named(sorted(vault.keys() - org.keys())),
    )
    count = max(0, len(org) + off)
    said: dict[str, Any] = {"count": count, "pass_number": pass_number, "view": view}
    said["census"] = None if whole else Census(records=len(org), ids="a", stamps="b")
    outcome = judge(facts(extracted(whole or "incremental", **said), len(vault), compared=compared), MassRule(fewest=3))
    if isinstance(outcome, Verdict) and outcome.state == "proven":
        assert len(vault) == count if whole else vault == org
    if isinstance(outcome, Vanished):
        assert (whole or count == len(org)) and sees_all and vault.keys() - org.keys()


def split(vault: dict[int, int], org: dict[int, int], due: int) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
    missing = sorted(org.keys() - vault.keys())
    outdated = sorted(n for n in org.keys() & vault.keys() if org[n] > vault[n])
    recent = [n for n in (*missing, *outdated) if org[n] > due]
    return [n for n in missing if org[n] <= due], [n for n in outdated if org[n] <= due], recent


def named(numbers: Sequence[int]) -> Named:
    return Named(len(numbers), tuple(map(str, numbers)))


def test_a_big_object_is_listed_twice_in_place_of_a_count() -> None:
    uncounted = "Salesforce does not count big objects."
    lacking = found(absent=Named(1, ("key-a",)))
    for said, compared in ((extracted("baseline", not_counted=uncounted), None), (extracted("full"), lacking)):
        doubt = verdict_of(said, 7, keyed=True, compared=compared)
        assert isinstance(doubt, Doubt) and doubt.wanted == "census"
    assert verdict_of(extracted("full", not_counted=uncounted), 7, keyed=True).reason == uncounted


def test_an_absent_record_of_a_big_object_is_deleted_if_two_lists_lack_it() -> None:
    compared = listed(6, absent=Named(1, ("key-a",)))
    said = census_of(6, mode="full", pass_number=2)
    assert verdict_of(said, 7, keyed=True, agreed=True, compared=compared) == Vanished(1)
    for other in ({"agreed": False}, {"agreed": True, "organization_id": "00D000000000002EAA"}):
        verdict = verdict_of(said, 7, keyed=True, compared=compared, **other)
        assert (verdict.state, verdict.unseen.count) == ("not proven", 1)
    assert verdict_of(said, 7, agreed=True, compared=compared).unseen.count == 1, "other objects are counted"


def test_what_only_the_second_list_of_a_big_object_has_may_be_new() -> None:
    verdict = verdict_of(census_of(8, mode="full"), 7, keyed=True, compared=listed(8, missing=Named(1, ("key-a",))))
    assert verdict.state == "not proven" and "key-a" in verdict.reason
    assert gaps_of(facts(census_of(8), 7), verdict) == []
