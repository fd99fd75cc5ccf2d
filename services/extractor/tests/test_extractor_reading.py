"""Whole runs against the local org, on real Postgres: what is read, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from holdfast.orgsim.testing import RunningOrg

pytestmark = pytest.mark.integration
Make = Callable[..., Any]
Events = list[tuple[str, dict[str, Any]]]

FIELDS = [{"name": "Number__c", "type": "double"}, {"name": "Text__c", "type": "string", "length": 255}]


def define(org: RunningOrg, name: str, rows: int) -> list[str]:
    return org.define(
        name, FIELDS, [{"Name": f"{name} {n}", "Number__c": str(n), "Text__c": "NA"} for n in range(rows)]
    )


def of(events: Events, kind: str, name: str | None = None) -> list[dict[str, Any]]:
    return [body for what, body in events if what == kind and name in (None, body.get("object"))]


async def test_a_baseline_reads_small_objects_by_rest_and_large_ones_by_bulk(org: RunningOrg, harness: Make) -> None:
    define(org, "Small__c", 300)
    define(org, "Large__c", 5000)
    events = await harness().run("Small__c", "Large__c")
    plan = {item["object"]: item for item in of(events, "extraction.planned")[0]["objects"]}
    assert (plan["Small__c"]["strategy"], plan["Large__c"]["strategy"]) == ("rest", "bulk2")
    for name, rows in (("Small__c", 300), ("Large__c", 5000)):
        extracted = of(events, "object.extracted", name)[0]
        assert extracted["rows"] == rows
        assert extracted["mode"] == "baseline"
        assert sum(page["rows"] for page in of(events, "page.staged", name)) == rows
        assert extracted["watermark"]
