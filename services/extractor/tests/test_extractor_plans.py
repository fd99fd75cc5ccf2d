"""`PlanJob`: what it says a run will cost, against what the org then counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from holdfast.common.rpc.extractor.v1 import extractor_pb2 as messages
from holdfast.launcher.demo.data import demo_data
from holdfast.orgsim.testing import RunningOrg, start_org

pytestmark = pytest.mark.integration
Make = Callable[..., Any]

NPSP = sorted(path.stem for path in (demo_data() / "npsp-1k").glob("[!_]*.csv"))
NEAR = 0.2


@pytest.fixture(scope="module", params=[1, 7], ids=["17,000 records", "121,000 records"])
def npsp(request: pytest.FixtureRequest) -> Iterator[RunningOrg]:
    with start_org(load=[demo_data() / "npsp-1k"], multiply=request.param) as running:
        yield running


async def plan(one: Any, *objects: str, full: bool = False) -> Any:
    request = messages.PlanJobRequest(
        job_id=str(one.job_id),
        connection_id=str(one.connection_id),
        objects=objects,
        full=full,
        api_limit_percent=80,
    )
    return await one.service.PlanJob(request, None)


async def cost(one: Any, org: RunningOrg, *objects: str, full: bool = False) -> int:
    org.reset_calls()
    await one.run(*objects, full=full)
    return int(org.calls()["total"])


def near(said: float, counted: float) -> bool:
    return abs(said - counted) <= NEAR * counted


async def estimated(one: Any) -> int:
    """What the newest run itself expected of its objects."""
    query = """SELECT sum(estimated_calls)::int FROM task JOIN extraction USING (run_id)
               WHERE job_id = $1 AND run = (SELECT max(run) FROM extraction WHERE job_id = $1)"""
    return int(await one.db.fetchval(query, one.job_id))


@pytest.mark.timeout(120)
async def test_a_plan_is_near_what_the_org_counts(npsp: RunningOrg, org: RunningOrg, harness: Make) -> None:
    one = harness()
    one.org = one.connections.org = npsp
    for kind, full in (("baseline", False), ("incremental", False), ("incremental", False), ("full", True)):
        npsp.reset_calls()
        said = await plan(one, *NPSP, full=full)
        assert said.plan_calls == npsp.calls()["total"], "it says what it cost itself"
        assert {item.mode for item in said.objects} == {kind}
        counted = await cost(one, npsp, *NPSP, full=full)
        print(f"{kind}: {said.api_calls} said, {counted} counted; {said.seconds:.1f} s")
        assert near(said.api_calls, counted), f"{kind}: {said.api_calls} said, {counted} counted"
        making = said.shared[0].api_calls
        assert near(making + await estimated(one), counted), "the run's own estimate"
        if kind == "baseline":
            assert said.rows == sum(npsp.objects()[name]["rows"] for name in NPSP)
    assert sum(item.api_calls for item in said.objects) + sum(each.api_calls for each in said.shared) == said.api_calls


async def test_a_plan_begins_nothing(org: RunningOrg, harness: Make, thing: str) -> None:
    org.define(thing, [], [{"Name": "one"}])
    one = harness()
    said = await plan(one, thing, "Nope__c")
    assert [(item.object, item.mode, item.strategy, item.rows) for item in said.objects] == [
        (thing, "baseline", "REST, asked with others", 1)
    ]
    (missing,) = said.unreadable
    assert missing.object == "Nope__c" and "has no object Nope__c" in missing.reason
    for table in ("extraction", "task", "outbox", "described", "watermark"):
        assert await one.db.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_much_that_changed_is_counted_beforehand(
    org: RunningOrg, harness: Make, own: Callable[[str], str]
) -> None:
    many, few = own("Many"), own("Few")
    now = org.now()
    org.define(many, [], [{"Name": str(n), "SystemModstamp": now} for n in range(2_500)])
    org.define(few, [], [{"Name": "one"}])
    one = harness(extractor_bulk_threshold_rows=1_000_000)
    await one.run(many, few)
    said = await plan(one, many, few)
    assert {item.object: item.rows for item in said.objects} == {many: 2_500, few: 0}, (
        "within the overlap, and long before it"
    )
    assert said.plan_calls == 4  # objects, counts, describes, changes of one
    assert near(said.api_calls, await cost(one, org, many, few)), "what ends late is counted on its own"


async def test_an_object_takes_as_long_as_the_last_time(org: RunningOrg, harness: Make, thing: str) -> None:
    org.define(thing, [], [{"Name": "one"}])
    one = harness()
    org.faults({"path": "/composite", "count": 1, "effect": {"latency_s": 1.5}})
    await one.run(thing)
    (again,) = (await plan(one, thing, full=True)).objects
    assert 1.5 <= again.seconds < 10
