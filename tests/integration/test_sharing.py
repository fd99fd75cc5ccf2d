"""A right that is taken away looks like a deletion and is none; given back, the run is whole again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from holdfast.launcher.demo.org_session import OrgSession
from holdfast.orgsim.testing import RunningOrg, start_org

from .harness import Installation, assert_agree, installed
from .tables import assert_nothing_twice

pytestmark = pytest.mark.integration
THING, ROWS = "Thing__c", 40
FIELDS = [{"name": "Note__c", "type": "string"}]


@pytest.fixture(scope="module")
def holdfast(
    kafka_servers: str, postgres_server: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    dsn = postgres_server.ensure_database(f"other_{uuid4().hex[:12]}")
    env = {"HOLDFAST_EXTRACTOR_RETRY_FIRST": "PT0.2S"}
    with installed(tmp_path_factory.mktemp("other"), kafka=kafka_servers, dsn=dsn, env=env) as running:
        yield running


def whole(holdfast: Installation, org: RunningOrg, job: str) -> None:
    """A run that is completed, proven and right."""
    run = holdfast.run(job)
    assert run["state"] == "completed" and run["objects"][0]["proof"]["state"] == "proven", (run, holdfast.log)
    assert_agree(holdfast.vault, job, org, [THING])
    assert_nothing_twice(holdfast.vault, job, [THING])


def test_sharing_that_is_taken_away_hides_and_deletes_nobody(holdfast: Installation) -> None:
    with start_org() as org:
        org.schema({"objects": [{"name": THING, "sharing": "Private", "fields": FIELDS}]})
        somebody = org.permit(username="somebody@example.org")
        with OrgSession(org.url, org.client_id, org.client_secret) as session:
            session.insert(THING, [{"Name": f"{n}"} for n in range(ROWS)])
            theirs = session.insert(THING, [{"Name": f"their {n}", "OwnerId": somebody} for n in range(4)])
            name = uuid4().hex[:8]
            job = holdfast.create_job(holdfast.connect(org, name), [THING], name=name)
            whole(holdfast, org, job)
            org.permit(permissions={"ViewAllData": False, "ModifyAllData": False})
            session.insert(THING, [{"Name": "in between"}])
            for full in (False, True):
                run = holdfast.run(job, full=full)
                assert (run["state"], run["counts"]["deleted"]) == ("partial", 0), (run, holdfast.log)
                proof = holdfast.get(f"/runs/{run['id']}/objects/{THING}/proof")
                assert (proof["state"], sorted(proof["unseen_ids"])) == ("not proven", sorted(theirs)), proof
                assert "may not view all records" in proof["reason"] or "rights" in proof["reason"], proof
            org.permit(permissions={"ViewAllData": True, "ModifyAllData": True})
            whole(holdfast, org, job)
