"""An org that no longer offers the API version of its connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from holdfast.orgsim.testing import RunningOrg, start_org

pytestmark = pytest.mark.integration
Make = Callable[..., Any]
Events = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def one_org() -> Iterator[RunningOrg]:
    """An org for each test: what is retired stays so."""
    with start_org() as running:
        yield running
        assert all(fault["applied"] for fault in running.faults()), "no version was retired"


@pytest.fixture
def thing(one_org: RunningOrg) -> str:
    one_org.define("Thing__c", [], [{"Name": f"T{n}"} for n in range(3000)])
    return "Thing__c"


def bodies(events: Events, kind: str) -> list[dict[str, Any]]:
    return [body for what, body in events if what == kind]


def rows(events: Events) -> int:
    return sum(page["rows"] for page in bodies(events, "page.staged"))


async def test_a_version_that_is_retired_before_a_run(one_org: RunningOrg, harness: Make, thing: str) -> None:
    one_org.faults({"path": "/services", "count": 1, "effect": {"retire_versions_below": 64}})
    one = harness()
    events = await one.run(thing)
    assert rows(events) == 3000
    (planned,) = bodies(events, "extraction.planned")
    assert any("no longer offers API version 62.0; this run speaks 66.0" in note for note in planned["notes"])
    routes = one_org.calls()["routes"]
    assert sum(route["calls"] for route in routes if route["route"] == "/services/data") == 1
    (again,) = bodies(await one.run(thing), "extraction.planned")
    assert again["notes"] == planned["notes"], "said until the connection is tested"


@pytest.mark.parametrize("where", ["/query/", "/jobs/query", "/jobs/query/.*/results", "/composite"])
async def test_a_version_that_is_retired_in_the_middle_of_a_reading(
    one_org: RunningOrg, harness: Make, thing: str, where: str
) -> None:
    pages = {"extractor_bulk_threshold_rows": 1 if "jobs" in where else 1_000_000, "extractor_page_bytes": 100_000}
    one_org.faults({"path": where, "count": 1, "effect": {"retire_versions_below": 64}})
    events = await harness(**pages).run(thing)
    assert rows(events) == 3000 == len(one_org.state(thing))
    assert not bodies(events, "object.failed")


async def test_an_org_that_offers_no_version_that_is_spoken(one_org: RunningOrg, harness: Make, thing: str) -> None:
    one_org.faults({"path": "/services", "count": 1, "effect": {"retire_versions_below": 67}})
    events = await harness().run(thing)
    (refused,) = bodies(events, "extraction.refused")
    assert refused["reason"] == "The org offers no API version that Holdfast speaks."
