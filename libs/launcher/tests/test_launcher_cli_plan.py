"""`job plan`: what the next run would read, and what that costs."""

from __future__ import annotations

import json

import pytest

PLAN = {
    "objects": [
        {"object": "Account", "mode": "incremental", "strategy": "REST, asked with others", "rows": 0, "api_calls": 0,
         "seconds": 0.3},
        {"object": "Contact", "mode": "baseline", "strategy": "Bulk 2.0", "rows": 120000, "api_calls": 5,
         "seconds": 11.0},
    ],
    "shared": [{"what": "who looks", "api_calls": 1}],
    "unreadable": [{"object": "Nope__c", "reason": "The org has no object Nope__c."}],
    "rows": 120000, "api_calls": 1006, "seconds": 11.9, "notes": ["Fax of Contact is new."],
    "calls_left": 1000, "calls_limit": 15000, "plan_calls": 3,
}  # fmt: skip


@pytest.fixture
def planned(cli):
    cli.answers["GET /v1/jobs/nightly/plan"] = PLAN
    return cli


def test_the_table_says_mode_way_rows_calls_and_seconds(planned):
    shown = planned.type("job", "plan", "nightly").stdout.splitlines()
    assert shown[0].split() == ["Object", "Mode", "How", "Rows", "Calls", "Seconds"]
    assert shown[1].split() == ["Account", "incremental", "REST,", "asked", "with", "others", "few", "0", "0.3"]
    assert shown[2].split() == ["Contact", "baseline", "Bulk", "2.0", "120,000", "5", "11.0"]
    assert shown[3].split() == ["(together)", "who", "looks", "1"]
    assert shown[4].split() == ["Total", "120,000", "1,006", "11.9"]
    assert shown[5] == "Not read: Nope__c. The org has no object Nope__c."
    assert shown[6] == "Note: Fax of Contact is new."
    assert "This plan cost 3 calls." in shown[7] and "1,000 calls now, of the org's 15,000" in shown[7]
    assert "The run will wait: 6 calls are missing." in shown[7]
    assert planned.requests[-1].url.params["full"] == "false"


def test_a_full_scan_can_be_planned_and_a_plan_printed_as_json(planned):
    assert json.loads(planned.type("job", "plan", "nightly", "--full", "--json").stdout) == PLAN
    assert planned.requests[-1].url.params["full"] == "true"


def test_without_a_known_budget_and_with_nothing_to_read(planned):
    nothing = {**PLAN, "objects": [], "unreadable": [], "notes": ["There is nothing."], "calls_left": None}
    planned.answers["GET /v1/jobs/nightly/plan"] = nothing
    shown = planned.type("job", "plan", "nightly").stdout.splitlines()
    assert shown[0] == "Note: There is nothing."
    assert shown[1] == "This plan cost 3 calls. What the org's budget leaves is not known yet."
