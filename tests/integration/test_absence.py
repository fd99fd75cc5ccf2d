"""Records that are gone for good are found in the next run. What only looks gone: `test_lies`, `test_other_org`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from holdfast.launcher.demo.org_session import OrgSession
from holdfast.orgsim.testing import RunningOrg, start_org

from .harness import Installation, assert_agree, installed

pytestmark = pytest.mark.integration
ROWS = 60


@pytest.fixture(scope="module")
def org() -> Iterator[RunningOrg]:
    with start_org() as running:
        yield running


@pytest.fixture(scope="module")
def holdfast(
    kafka_servers: str, postgres_server: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    database = postgres_server.ensure_database(f"absence_{uuid4().hex[:12]}")
    env = {"HOLDFAST_EXTRACTOR_RETRY_FIRST": "PT0.2S"}
    with installed(tmp_path_factory.mktemp("absence"), kafka=kafka_servers, dsn=database, env=env) as running:
        yield running


@pytest.fixture
def thing(org: RunningOrg) -> str:
    name = f"T{uuid4().hex[:8]}__c"
    org.define(name, [], [{"Name": f"{n}"} for n in range(ROWS)])
    return name


def test_a_record_that_is_gone_for_good_is_found_in_the_next_run(
    holdfast: Installation, org: RunningOrg, thing: str
) -> None:
    job = holdfast.create_job(holdfast.connect(org), [thing], name=thing)
    assert holdfast.run(job)["state"] == "completed"
    with OrgSession(org.url, org.client_id, org.client_secret) as session:
        ids = [row["Id"] for row in session.query(f"SELECT Id FROM {thing} LIMIT 3")]
        session.delete(ids)
        session.empty_recycle_bin(ids)
    run = holdfast.run(job)
    assert (run["state"], run["counts"]["deleted"]) == ("completed", 3), run
    (found,) = run["objects"]
    assert found["proof"]["state"] == "proven", found["proof"]
    assert_agree(holdfast.vault, job, org, [thing])
