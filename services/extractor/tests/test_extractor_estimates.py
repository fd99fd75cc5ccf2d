"""What a plan costs: facts in, calls and seconds out."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.extractor.estimates import Facts, Pace, calls_of, estimate
from holdfast.extractor.planning import ObjectPlan
from holdfast.vault.schema import FieldType, RecordSchema

FIELDS = tuple(FieldType(name, "string") for name in ("Id", "Name", "SystemModstamp"))


def facts(**others: Any) -> Facts:
    usual = {"page_bytes": 10_000_000, "bulk_threshold_rows": 2000, "parallel_from_pages": 4, "slots": 4}
    return Facts(**{**usual, **others})


def how(name: str, mode: Any = "baseline", strategy: Any = "rest", rows: int = 0) -> ObjectPlan:
    return ObjectPlan(RecordSchema(name, FIELDS), mode, None, strategy, rows)


def many(number: int, **others: Any) -> dict[str, ObjectPlan]:
    return {f"Object{n}": how(f"Object{n}", **others) for n in range(number)}


@pytest.mark.parametrize(
    ("strategy", "rows", "expected"),
    [
        ("rest", 0, 1),
        ("rest", 4001, 3),
        ("bulk2", 2000, 1 + 1 + 1),  # job, a look, a page
        ("bulk2", 100_000, 1 + 1 + 2),
        ("bulk2", 500_000, 1 + 1 + 2 + 10),  # its ten pages are listed five at a time
    ],
)
def test_calls_of_one_object(strategy: Any, rows: int, expected: int) -> None:
    assert calls_of(strategy, rows, FIELDS, facts()) == expected


def test_a_slow_org_is_looked_at_more_often() -> None:
    assert calls_of("bulk2", 2000, FIELDS, facts(looks=7)) == 9


@pytest.mark.parametrize(("number", "expected"), [(1, 1 + 1), (5, 2 + 1), (10, 4 + 1), (14, 6 + 1), (30, 12 + 1)])
def test_what_changed_is_asked_together(number: int, expected: int) -> None:
    assert estimate(many(number, mode="incremental"), (), facts()).calls == expected


def test_what_changed_much_costs_its_other_pages_and_a_count() -> None:
    plan = many(5, mode="incremental") | {"Object0": how("Object0", "incremental", rows=1_999)}
    before = estimate(plan, (), facts()).calls
    plan["Object0"] = how("Object0", "incremental", rows=5_000)
    found = estimate(plan, (), facts(bulk_threshold_rows=10_000))
    assert (before, found.objects["Object0"].calls, found.calls) == (3, 2, 2 + 2 + 1)
    assert estimate(plan, (), facts()).objects["Object0"].calls == 3, "the org is asked first, then Bulk reads it"


def test_a_list_of_all_ids_costs_its_pages_and_the_log_of_deletions() -> None:
    plan = {"Account": how("Account", "incremental")}
    counts = {"Account": 1_500}
    assert estimate(plan, ["Account"], facts(counts=counts)).objects["Account"].calls == 1 + 1


def test_a_walk_asks_for_every_parent() -> None:
    plan = {"IdeaComment": how("IdeaComment", rows=10)}
    few, most = (estimate(plan, (), facts(counts={"Idea": ideas})).calls for ideas in (10, 5_000))
    assert few < most


def test_shares_add_up() -> None:
    found = estimate(many(7, mode="incremental") | {"Big": how("Big", strategy="bulk2", rows=90_000)}, (), facts())
    assert sum(found.with_share().values()) == found.calls
    assert estimate({}, (), facts()).with_share() == {}


def test_an_object_takes_as_long_as_the_last_time_and_longer_if_it_grew() -> None:
    paces = {("Object0", False): Pace(2_000, 4.0)}
    once, grown = (estimate(many(1, rows=rows), (), facts(paces=paces)).seconds for rows in (2_000, 6_000))
    assert (once, grown) == (4.0, 12.0)


def test_a_reading_that_brought_next_to_nothing_does_not_tell_how_fast_rows_come() -> None:
    paces = {("Object0", False): Pace(1, 1.0)}
    assert 1.0 < estimate(many(1, rows=2_000), (), facts(paces=paces)).seconds < 2.0


def test_workers_share_the_time_but_not_one_object() -> None:
    paces = {(f"Object{n}", False): Pace(1, 1.0) for n in range(8)}
    assert estimate(many(8, rows=1), (), facts(paces=paces)).seconds == 2.0
    paces["Object0", False] = Pace(1, 9.0)
    assert estimate(many(8, rows=1), (), facts(paces=paces)).seconds == 9.0
