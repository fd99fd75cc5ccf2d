"""What the org says of an object after its last page: how many records live, and who looked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from holdfast.extractor.soql import ObjectQuery
from holdfast.orgsim.testing import RunningOrg

pytestmark = pytest.mark.integration
Make = Callable[..., Any]
Own = Callable[[str], str]


@pytest.fixture(autouse=True)
def rights_given_back(org: RunningOrg) -> Iterator[None]:
    yield
    give_back(org)


def give_back(org: RunningOrg, *names: str) -> None:
    org.permit(permissions={"ViewAllData": True, "ModifyAllData": True}, objects=dict.fromkeys(names, "CRUDVM"))


def rest(org: RunningOrg) -> httpx.Client:
    """The org's own API for single records."""
    address = f"{org.url}/services/data/v62.0/sobjects/"
    return httpx.Client(base_url=address, headers={"Authorization": f"Bearer {org.token()}"}, trust_env=False)


def define(org: RunningOrg, name: str, rows: int) -> list[str]:
    return org.define(name, [], [{"Name": f"{n}"} for n in range(rows)])


async def extracted(one: Any, *names: str, full: bool = False) -> dict[str, dict[str, Any]]:
    return {body["object"]: body for kind, body in await one.run(*names, full=full) if kind == "object.extracted"}


async def test_the_living_records_are_counted_with_the_orgs_time(org: RunningOrg, harness: Make, own: Own) -> None:
    ids = define(org, own("Thing"), 7)
    with rest(org) as api:
        api.delete(f"{own('Thing')}/{ids[0]}").raise_for_status()
    body = (await extracted(harness(), own("Thing")))[own("Thing")]
    assert (body["rows"], body["count"]["records"], body["not_counted"]) == (7, 6, "")
    told = datetime.fromisoformat(body["count"]["at"])
    assert abs(told - datetime.fromisoformat(org.now()).astimezone(UTC)) < timedelta(seconds=10)


async def test_objects_that_end_together_share_a_call(org: RunningOrg, harness: Make, own: Own) -> None:
    names = [own(f"Shared{letter}") for letter in "ABCD"]
    for number, name in enumerate(names):
        define(org, name, number)
    one = harness(extractor_count_window=timedelta(milliseconds=600))
    org.reset_calls()
    bodies = await extracted(one, *names)
    assert [bodies[name]["count"]["records"] for name in names] == [0, 1, 2, 3]
    composites = sum(item["calls"] for item in org.calls()["routes"] if item["route"].endswith("/composite"))
    assert composites <= 1 + 2 + 1, "describes; then four first pages and their counts, five at a time; who looks"


async def test_a_count_waits_for_objects_that_are_still_read(org: RunningOrg, harness: Make, own: Own) -> None:
    names = [own(f"Late{letter}") for letter in "ABC"]
    for name in names:
        define(org, name, 40)
    for number in range(len(names)):
        org.faults({"path": "/jobs/query", "skip": number, "count": 1, "effect": {"latency_s": 0.4 * number}})
    org.reset_calls()
    bodies = await extracted(harness(extractor_bulk_threshold_rows=1), *names)
    assert [bodies[name]["count"]["records"] for name in names] == [40, 40, 40]
    composites = sum(item["calls"] for item in org.calls()["routes"] if item["route"].endswith("/composite"))
    assert composites == 1 + 1, "describes; then three counts and who looks, though they end one after the other"


async def test_a_count_that_salesforce_stops_is_said_and_fails_nothing(
    org: RunningOrg, harness: Make, thing: str
) -> None:
    define(org, thing, 3)
    org.faults({"path": "COUNT", "count": None, "effect": {"error": "QUERY_TIMEOUT"}})
    body = (await extracted(harness(), thing))[thing]
    assert body["count"] is None and body["rows"] == 3
    assert (
        body["not_counted"] == f"Salesforce did not count {thing}: Salesforce stopped the query after its time limit."
    )


def test_archived_activities_are_counted_among_the_living() -> None:
    task = ObjectQuery("Task", ("Id", "IsArchived", "IsDeleted", "SystemModstamp")).of_the_living(("Id",))
    assert task.all_rows and task.counting() == "SELECT COUNT() FROM Task WHERE IsDeleted = false"
    other = ObjectQuery("Account", ("Id", "IsDeleted")).of_the_living(("Id",))
    assert not other.all_rows and other.counting() == "SELECT COUNT() FROM Account"
    assert other.ordered() == "SELECT Id FROM Account ORDER BY Id"


async def test_the_first_reading_has_nothing_to_compare_with_and_the_second_has(
    org: RunningOrg, harness: Make, thing: str
) -> None:
    define(org, thing, 2)
    one = harness()
    first = (await extracted(one, thing))[thing]["view"]
    assert first["organization_id"] == org.org_id and first["user_id"].startswith("005")
    assert (first["sees_all"], first["unchanged"]) == (True, False)
    assert first["reason"] == f"No earlier run read {thing} whole."
    second = (await extracted(one, thing, full=True))[thing]["view"]
    assert (second["sees_all"], second["unchanged"], second["reason"]) == (True, True, "")


async def test_a_lost_right_is_no_evidence_until_the_object_was_read_whole_again(
    org: RunningOrg, harness: Make, thing: str
) -> None:
    define(org, thing, 2)
    one = harness()
    await extracted(one, thing)
    org.permit(permissions={"ViewAllData": False, "ModifyAllData": False}, objects={thing: "R"})
    lost = (await extracted(one, thing, full=True))[thing]["view"]
    assert (lost["sees_all"], lost["unchanged"]) == (False, False)
    assert "rights" in lost["reason"] and "may not view all records" in lost["reason"]
    give_back(org, thing)
    again = (await extracted(one, thing, full=True))[thing]["view"]
    assert (again["sees_all"], again["unchanged"]) == (True, False)
    assert (await extracted(one, thing, full=True))[thing]["view"]["unchanged"]


async def test_view_all_of_one_object_is_enough_for_that_object(org: RunningOrg, harness: Make, own: Own) -> None:
    for name in ("Seen", "Other"):
        define(org, own(name), 1)
    org.permit(
        permissions={"ViewAllData": False, "ModifyAllData": False}, objects={own("Seen"): "RV", own("Other"): "R"}
    )
    bodies = await extracted(harness(), own("Seen"), own("Other"))
    assert bodies[own("Seen")]["view"]["sees_all"]
    assert not bodies[own("Other")]["view"]["sees_all"]
