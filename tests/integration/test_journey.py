"""A backup from the first connection to the proof, on one process and on six: the same story, the same result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.launcher.demo import story
from holdfast.launcher.demo.data import demo_data
from holdfast.launcher.demo.org_session import OrgSession
from holdfast.orgsim.testing import RunningOrg, start_org

from .harness import Installation, assert_agree, installed

pytestmark = pytest.mark.integration
NPSP = [
    "Account", "Address__c", "Allocation__c", "Campaign", "CampaignMember", "Contact", "General_Accounting_Unit__c",
    "Opportunity", "OpportunityContactRole", "Partial_Soft_Credit__c", "npe01__OppPayment__c",
    "npe03__Recurring_Donation__c", "npe4__Relationship__c",
]  # fmt: skip
OBJECTS = [*NPSP, "Domain__c"]


@pytest.fixture
def org() -> Iterator[RunningOrg]:
    with start_org(load=[demo_data() / "npsp-1k", demo_data() / "dotgov"]) as running:
        yield running


@pytest.mark.parametrize("separate", [False, True], ids=["all", "six processes"])
def test_backup_change_backup_and_proof(
    separate: bool, org: RunningOrg, tmp_path: Path, kafka_servers: str, postgres_dsn: str
) -> None:
    with installed(tmp_path, kafka=kafka_servers, dsn=postgres_dsn, separate=separate, afresh=separate) as holdfast:
        job = holdfast.create_job(holdfast.connect(org), OBJECTS)
        with OrgSession(org.url, org.client_id, org.client_secret) as session:
            contact = story.before_baseline(session)
            baseline = holdfast.run(job)
            _is_complete(baseline, rows=17_283 + 14_901)
            assert_agree(holdfast.vault, job, org, OBJECTS)

            edits = story.change_the_org(session, demo_data() / "dotgov", contact)
            changed = holdfast.run(job)
        assert changed["state"] == "completed", changed
        assert_agree(holdfast.vault, job, org, OBJECTS)
        _changes_are_the_edits(holdfast, changed["id"], edits)
        _history_of_the_undeleted(holdfast, job, contact)
        assert _verified(holdfast, job)


def _is_complete(run: dict, *, rows: int) -> None:
    assert run["state"] == "completed", run
    assert run["missing"] == []
    counts = run["counts"]
    assert counts["captured"] + counts["deleted"] == rows
    assert counts["created"] == counts["updated"] == 0


def _changes_are_the_edits(holdfast: Installation, run_id: str, edits: story.Edits) -> None:
    objects = {each["object"]: each for each in holdfast.get(f"/runs/{run_id}/changes")["objects"]}
    domains = objects["Domain__c"]
    assert domains["created"] >= edits.counts["Domain__c", "insert"] - edits.counts["Domain__c", "delete"]
    assert domains["deleted"] > 0
    assert objects["Contact"]["undeleted"] == 1
    assert objects["Contact"]["created"] == edits.counts["Contact", "insert"]
    assert objects["Contact"]["deleted"] == edits.counts["Contact", "delete"]
    merged = holdfast.get(f"/runs/{run_id}/changes/Account", operation="deleted")["items"]
    assert len(merged) == 1 and merged[0]["merged_into"]
    updated = holdfast.get(f"/runs/{run_id}/changes/Opportunity", operation="updated", page_size=100)["items"]
    amounts = [f for record in updated for f in record["fields"] if f["field"] == "Amount"]
    assert amounts and all(float(f["after"]) - float(f["before"]) == pytest.approx(0.01) for f in amounts)


def _history_of_the_undeleted(holdfast: Installation, job: str, contact: str) -> None:
    versions = holdfast.get(f"/jobs/{job}/records/Contact/{contact}")["versions"]
    assert [version["operation"] for version in versions] == ["deleted", "undeleted"]


def _verified(holdfast: Installation, job: str) -> bool:
    verification = holdfast.post(f"/jobs/{job}/verifications", {})
    while verification["state"] == "running":
        verification = holdfast.get(f"/verifications/{verification['id']}")
    return bool(verification["state"] == "intact" and verification["damage"] == [])
