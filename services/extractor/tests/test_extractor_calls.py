"""What a run costs, counted by the org."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from holdfast.extractor.counting import counting_part
from holdfast.extractor.probing import Prober
from holdfast.orgsim.testing import RunningOrg

pytestmark = pytest.mark.integration
Make = Callable[..., Any]
Own = Callable[[str], str]

FIELDS = [{"name": "Text__c", "type": "string", "length": 255}]


def define(org: RunningOrg, name: str, rows: int) -> list[str]:
    return org.define(name, FIELDS, [{"Name": f"{name} {n}", "Text__c": "NA"} for n in range(rows)])


def change(org: RunningOrg, name: str, record_id: str) -> None:
    headers = {"Authorization": f"Bearer {org.token()}"}
    address = f"{org.url}/services/data/v62.0/sobjects/{name}/{record_id}"
    httpx.patch(address, headers=headers, json={"Text__c": "changed"}, trust_env=False).raise_for_status()


async def test_a_run_without_changes_costs_fewer_calls_than_objects(org: RunningOrg, harness: Make, own: Own) -> None:
    names = [own(f"Object{letter}") for letter in "ABCDEFGHIJKLMN"]
    for name in names:
        define(org, name, 3)
    one = harness()
    await one.run(*names)
    org.reset_calls()
    events = await one.run(*names)
    said = [body for kind, body in events if kind == "object.extracted"]
    assert [body["rows"] for body in said] == [3] * 14  # made within the overlap, so read again
    assert org.calls()["total"] == 9  # objects, describes, 14 queries and 14 counts in six, who looks


async def test_counts_come_with_the_changes_and_after_them(org: RunningOrg, harness: Make, own: Own) -> None:
    names = [own(f"Object{letter}") for letter in "ABCDEFGHIJKLMN"]
    ids = {name: define(org, name, 3) for name in names}
    one = harness()
    await one.run(*names)
    counted: dict[str, int | None] = {}

    class Keeping(Prober):
        async def take(self, client: Any, claim: Any) -> Any:
            probe = await super().take(client, claim)
            counted[claim.object] = probe and probe.count and probe.count.records
            return probe

    counting = Keeping(one.db, one.clock, "test", counting_part)
    one.worker._sources._prober = counting
    change(org, names[2], ids[names[2]][0])
    org.reset_calls()
    events = await one.run(*names)
    assert counted == dict.fromkeys(names, 3)
    assert len([body for kind, body in events if kind == "object.extracted"]) == 14
    assert org.calls()["total"] == 9


async def test_what_was_heard_too_long_ago_is_asked_again(org: RunningOrg, harness: Make, own: Own) -> None:
    names = [own("Apple"), own("Pear")]
    for name in names:
        define(org, name, 3)
    one = harness()
    await one.run(*names)
    now = one.clock.now()

    class Later:
        def now(self) -> Any:
            nonlocal now
            now += timedelta(minutes=2)
            return now

    one.prober._clock = Later()
    org.reset_calls()
    events = await one.run(*names)
    assert len([body for kind, body in events if kind == "object.extracted"]) == 2
    assert org.calls()["total"] == 5


async def test_an_org_without_composite_is_asked_one_by_one(org: RunningOrg, harness: Make, own: Own) -> None:
    names = [own("Apple"), own("Pear")]
    for name in names:
        define(org, name, 3)
    one = harness()
    await one.run(*names)
    body = [{"message": "The requested resource does not exist", "errorCode": "NOT_FOUND"}]
    org.faults({"path": "/composite", "count": None, "effect": {"status": 404, "body": body}})
    events = await one.run(*names)
    assert len([body for kind, body in events if kind == "object.extracted"]) == 2
