"""An org that changes under the reader's hands: records, fields, clocks and transactions that commit late.

Nothing here breaks; all of it happens in every org. After the next run the backup is what the org's ledger says.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from holdfast.launcher.demo.org_session import OrgSession
from holdfast.orgsim.testing import RunningOrg, start_org

from .harness import Installation, assert_agree, installed, wait_until
from .tables import assert_nothing_twice, query

pytestmark = pytest.mark.integration
ROWS = 4_000
RESULTS = r"/jobs/query/[^/]+/results"
FIELDS = [{"name": "Note__c", "type": "string"}, {"name": "Amount__c", "type": "currency"}]
SMALL_PAGES = {
    "HOLDFAST_EXTRACTOR_BULK_THRESHOLD_ROWS": "3000",
    "HOLDFAST_EXTRACTOR_PAGE_BYTES": "100000",
    # Page after page by locators: pages side by side are larger, and leave no middle of a run.
    "HOLDFAST_EXTRACTOR_PARALLEL_FROM_PAGES": "1000",
    "HOLDFAST_EXTRACTOR_RETRY_FIRST": "PT0.2S",
}


@pytest.fixture(scope="module")
def org() -> Iterator[RunningOrg]:
    with start_org() as running:
        yield running


@pytest.fixture(scope="module")
def holdfast(
    kafka_servers: str, postgres_server: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    database = postgres_server.ensure_database(f"moving_{uuid4().hex[:12]}")
    with installed(tmp_path_factory.mktemp("moving"), kafka=kafka_servers, dsn=database, env=SMALL_PAGES) as running:
        yield running


@pytest.fixture
def thing(org: RunningOrg) -> Iterator[str]:
    """An object of the test's own, large enough for several Bulk pages."""
    name = f"T{uuid4().hex[:8]}__c"
    org.define(name, FIELDS, [{"Name": f"{n}", "Note__c": f"00{n}", "Amount__c": n} for n in range(ROWS)])
    yield name
    org.clear_faults()


def _job(holdfast: Installation, org: RunningOrg, thing: str) -> str:
    return holdfast.create_job(holdfast.connect(org), [thing], name=thing)


def _whole(holdfast: Installation, org: RunningOrg, job: str, thing: str, run: dict[str, Any]) -> None:
    assert run["state"] == "completed", (run, holdfast.log)
    _agrees(holdfast, org, job, thing)


def _agrees(holdfast: Installation, org: RunningOrg, job: str, thing: str) -> None:
    assert_agree(holdfast.vault, job, org, [thing])
    assert_nothing_twice(holdfast.vault, job, [thing])


@contextmanager
def _some_pages_read(holdfast: Installation, org: RunningOrg, job: str) -> Iterator[str]:
    """A run of which the first pages are durable, and the last ones not asked for yet."""
    org.faults({"path": RESULTS, "count": None, "effect": {"latency_s": 0.6}})
    run_id = holdfast.request_run(job)

    def begun() -> bool:
        return any(each["rows"] for each in holdfast.get(f"/runs/{run_id}")["objects"])

    wait_until(begun, 30, lambda: holdfast.log)
    rows = holdfast.get(f"/runs/{run_id}")["objects"][0]["rows"]
    assert rows < ROWS, "the run was over before the change"
    yield run_id
    org.clear_faults()


def _session(org: RunningOrg) -> OrgSession:
    return OrgSession(org.url, org.client_id, org.client_secret)


def test_a_record_that_changes_while_its_object_is_read_is_kept_in_both_versions(
    holdfast: Installation, org: RunningOrg, thing: str
) -> None:
    job = _job(holdfast, org, thing)
    with _session(org) as session:
        first, last = (
            next(session.query(f"SELECT Id FROM {thing} ORDER BY Id {order} LIMIT 1"))["Id"]
            for order in ("ASC", "DESC")
        )
        with _some_pages_read(holdfast, org, job) as run_id:
            session.update(thing, [{"id": each, "Note__c": "meanwhile"} for each in (first, last)])
        holdfast.wait_run(run_id)
    _whole(holdfast, org, job, thing, holdfast.run(job))
    versions = query(
        holdfast.vault / job / "records" / thing,
        f"SELECT _record_id, list(Note__c ORDER BY _run, _seq) AS notes FROM events "
        f"WHERE _record_id IN ('{first}', '{last}') GROUP BY 1",
    )
    assert all(row["notes"][-1] == "meanwhile" and len(row["notes"]) == 2 for row in versions), versions
    assert len(versions) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"add": {"name": "Later__c", "type": "string"}},
        {"remove": "Note__c"},
        {"retype": {"name": "Note__c", "type": "textarea"}},
    ],
    ids=["added", "removed", "retyped"],
)
def test_fields_that_change_in_the_middle_of_a_run(
    holdfast: Installation, org: RunningOrg, thing: str, change: dict[str, Any]
) -> None:
    job = _job(holdfast, org, thing)
    with _some_pages_read(holdfast, org, job) as run_id:
        org.clear_faults()
        org.faults({"path": RESULTS, "effect": {"latency_s": 0.1, "describe": {"object": thing, **change}}})
        run = holdfast.wait_run(run_id)
        assert org.faults()[0]["applied"], "the fields changed after the run"
    assert run["state"] in ("completed", "partial")
    if "add" in change:
        with _session(org) as session:
            rows = list(session.query(f"SELECT Id FROM {thing} LIMIT 3"))
            session.update(thing, [{"id": row["Id"], "Later__c": "filled"} for row in rows])
    run = holdfast.run(job)
    assert all("Note__c" in gap["reason"] for gap in run["missing"]), run
    _agrees(holdfast, org, job, thing)


def test_a_record_that_came_and_went_between_two_runs(holdfast: Installation, org: RunningOrg, thing: str) -> None:
    """In the recycle bin it is found and kept; what was destroyed at once never existed for any API."""
    job = _job(holdfast, org, thing)
    _whole(holdfast, org, job, thing, holdfast.run(job))
    with _session(org) as session:
        binned, destroyed = session.insert(thing, [{"Name": "binned", "Note__c": "NA"}, {"Name": "destroyed"}])
        session.delete([binned, destroyed])
        session.empty_recycle_bin([destroyed])
    run = holdfast.run(job)
    _whole(holdfast, org, job, thing, run)
    events = query(
        holdfast.vault / job / "records" / thing,
        f"SELECT _record_id, _op, Note__c FROM events WHERE _record_id IN ('{binned}', '{destroyed}')",
    )
    assert events == [{"_record_id": binned, "_op": "deleted", "Note__c": "NA"}]


@pytest.mark.parametrize("late_s", [60, 550])
def test_a_transaction_that_commits_after_the_run_with_an_older_stamp(
    holdfast: Installation, org: RunningOrg, thing: str, late_s: int
) -> None:
    job = _job(holdfast, org, thing)
    holdfast.run(job)
    with _session(org) as session:
        rows = [row["Id"] for row in session.query(f"SELECT Id FROM {thing} LIMIT 4")]
        org.faults({"method": "PATCH", "path": "composite/sobjects", "effect": {"commit_late_s": late_s}})
        session.update(thing, [{"id": each, "Note__c": "late"} for each in rows[:2]])
        org.advance(5)
        session.update(thing, [{"id": each, "Note__c": "in time"} for each in rows[2:]])
    between = holdfast.run(job)
    assert between["counts"]["updated"] == 2, "the late ones were not visible yet"
    org.advance(late_s)
    run = holdfast.run(job)
    assert run["counts"]["updated"] == 2
    _whole(holdfast, org, job, thing, run)


@pytest.mark.parametrize("moment", ["2019-02-28T23:59:30Z", "2044-02-29T00:00:30Z"], ids=["behind", "ahead"])
def test_an_org_whose_clock_is_not_ours(holdfast: Installation, moment: str) -> None:
    """Marks are the org's time; ours would skip changes, or read everything for ever."""
    with start_org() as elsewhere:
        elsewhere.set_clock(moment)
        elsewhere.define("Thing__c", FIELDS, [{"Name": f"{n}", "Note__c": f"00{n}"} for n in range(500)])
        connection = holdfast.connect(elsewhere, name=moment)
        job = holdfast.create_job(connection, ["Thing__c"], name=moment)
        assert holdfast.run(job)["counts"]["captured"] == 500
        elsewhere.advance(7_200)
        with _session(elsewhere) as session:
            rows = [row["Id"] for row in session.query("SELECT Id FROM Thing__c LIMIT 5")]
            session.update("Thing__c", [{"id": each, "Note__c": "changed"} for each in rows[:3]])
            session.delete(rows[3:])
        run = holdfast.run(job)
        assert (run["counts"]["updated"], run["counts"]["deleted"]) == (3, 2)
        _whole(holdfast, elsewhere, job, "Thing__c", run)
        elsewhere.advance(7_200)
        assert holdfast.run(job)["objects"][0]["rows"] <= 5, "what did not change is not read again for ever"
