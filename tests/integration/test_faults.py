"""Servers that die and an org that misbehaves in the middle of a run: it ends complete, and the vault is right.

Latency in the org's answers makes the middle of a run long enough to strike there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from holdfast.launcher.demo.org_session import OrgSession
from holdfast.launcher.stack import EmbeddedStack
from holdfast.orgsim.testing import RunningOrg, start_org

from .harness import Installation, assert_agree, installed, wait_until
from .tables import assert_nothing_twice

pytestmark = pytest.mark.integration
BULK, REST = "Thing__c", "Small__c"
OBJECTS = [BULK, REST]
BULK_ROWS, REST_ROWS = 6_000, 4_500  # six Bulk pages of 1,000, three REST pages of 2,000
RESULTS = r"/jobs/query/[^/]+/results"
CURSOR = r"/query(All)?/0r8"
SMALL_AND_QUICK = {
    "HOLDFAST_EXTRACTOR_BULK_THRESHOLD_ROWS": "5000",
    "HOLDFAST_EXTRACTOR_PAGE_BYTES": "100000",
    "HOLDFAST_EXTRACTOR_RETRY_FIRST": "PT0.2S",
    "HOLDFAST_EXTRACTOR_OVERLAP": "PT0S",
    # Page after page by locators: pages side by side are larger, and leave no middle of a run.
    "HOLDFAST_EXTRACTOR_PARALLEL_FROM_PAGES": "1000",
}
SLOW = [
    {"path": RESULTS, "count": None, "effect": {"latency_s": 0.4}},
    {"path": CURSOR, "count": None, "effect": {"latency_s": 0.6}},
]


@pytest.fixture(scope="module")
def org() -> Iterator[RunningOrg]:
    fields = [{"name": "Note__c", "type": "string"}, {"name": "Amount__c", "type": "currency"}]
    with start_org() as running:
        for name, rows in ((BULK, BULK_ROWS), (REST, REST_ROWS)):
            running.define(name, fields, [{"Name": f"{n}", "Note__c": f"00{n}", "Amount__c": n} for n in range(rows)])
        yield running


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """Servers of this module's own: they are killed."""
    with EmbeddedStack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="module")
def holdfast(stack: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder, dsn = tmp_path_factory.mktemp("holdfast"), stack.postgres_dsn("faults")
    with installed(folder, kafka=stack.kafka_servers, dsn=dsn, env=SMALL_AND_QUICK) as running:
        yield running


@pytest.fixture
def job(holdfast: Installation, org: RunningOrg, request: pytest.FixtureRequest) -> Iterator[str]:
    """A job of the test's own, so that each starts from nothing."""
    yield holdfast.create_job(holdfast.connect(org), OBJECTS, name=request.node.name[:80])
    org.clear_faults()


def _is_right(holdfast: Installation, org: RunningOrg, job: str, run: dict[str, Any]) -> None:
    assert not run["missing"], (run["missing"], holdfast.log)
    assert run["state"] == "completed", (run["reason"], holdfast.log)
    assert_agree(holdfast.vault, job, org, OBJECTS)
    assert_nothing_twice(holdfast.vault, job, OBJECTS)


def _struck(org: RunningOrg) -> None:
    """Every scripted fault has met a request: the run did not slip past it."""
    assert all(fault["applied"] > 0 for fault in org.faults()), org.faults()


@contextmanager
def _middle_of_a_run(holdfast: Installation, org: RunningOrg, job: str) -> Iterator[str]:
    """A run of which some pages are durable and others not yet asked for."""
    org.faults(*SLOW)
    run_id = holdfast.request_run(job)

    def begun() -> bool:
        read = {each["object"]: each["rows"] for each in holdfast.get(f"/runs/{run_id}")["objects"]}
        return read.get(BULK, 0) > 0 and read.get(REST, 0) > 0

    wait_until(begun, 30, lambda: f"{holdfast.get(f'/runs/{run_id}')}\n{holdfast.log}")
    rows = {each["object"]: each["rows"] for each in holdfast.get(f"/runs/{run_id}")["objects"]}
    assert rows[BULK] < BULK_ROWS, "the run was over before the strike"
    yield run_id


@pytest.mark.parametrize("server", ["kafka", "postgres"])
def test_a_server_dies_in_the_middle_of_a_run(
    server: str, stack: EmbeddedStack, holdfast: Installation, org: RunningOrg, job: str
) -> None:
    with _middle_of_a_run(holdfast, org, job) as run_id:
        stack.kill(server)
        time.sleep(1)
        stack.restart(server)
    assert holdfast.alive
    _is_right(holdfast, org, job, holdfast.wait_run(run_id, 45))
    org.clear_faults()
    changed = _edit(org)
    _is_right(holdfast, org, job, run := holdfast.run(job))
    assert run["counts"]["updated"] == changed


def _edit(org: RunningOrg) -> int:
    with OrgSession(org.url, org.client_id, org.client_secret) as session:
        rows = list(session.query(f"SELECT Id FROM {BULK} LIMIT 7"))
        session.update(BULK, [{"id": row["Id"], "Note__c": str(time.time_ns())} for row in rows])
    return len(rows)


TROUBLE: dict[str, list[dict[str, Any]]] = {
    "503": [{"path": path, "skip": 1, "count": 2, "effect": {"status": 503}} for path in (RESULTS, CURSOR)],
    "maintenance-page": [
        {"path": RESULTS, "skip": 1, "count": 1, "effect": {"html": True}},
        {"path": RESULTS, "skip": 3, "count": 1, "effect": {"html": True, "status": 200}},
        {"path": CURSOR, "count": 1, "effect": {"html": True, "status": 200}},
    ],
    "closed-mid-page": [
        {"path": RESULTS, "skip": 1, "count": 2, "effect": {"close_after": 20_000}},
        {"path": CURSOR, "count": 2, "effect": {"close_after": 20_000}},
    ],
    "reset": [{"path": "/services/data/", "skip": 9, "count": 3, "effect": {"reset": True}}],
    "sessions-expired": [
        {"path": RESULTS, "skip": 2, "count": 1, "effect": {"expire_sessions": True}},
        {"path": CURSOR, "skip": 1, "count": 1, "effect": {"expire_sessions": True}},
    ],
    "cursor-expired": [{"path": CURSOR, "count": 1, "effect": {"expire_cursors": True}}],
    "job-failed": [{"method": "GET", "path": r"/jobs/query/[^/?]+$", "count": 1, "effect": {"job": "Failed"}}],
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_an_org_in_trouble(trouble: str, holdfast: Installation, org: RunningOrg, job: str) -> None:
    org.faults(*TROUBLE[trouble])
    run = holdfast.run(job)
    _struck(org)
    _is_right(holdfast, org, job, run)
    assert run["counts"]["captured"] == BULK_ROWS + REST_ROWS


def test_a_bulk_page_cut_short_on_a_row_boundary(holdfast: Installation, org: RunningOrg, job: str) -> None:
    """Nothing in the page itself says that rows are missing: only the count that Salesforce gave does."""
    _is_right(holdfast, org, job, holdfast.run(job))
    end_of_a_row = _end_of_row(org, 500)
    org.faults({"path": RESULTS, "skip": 1, "count": 1, "effect": {"truncate": end_of_a_row}})
    run = holdfast.run(job, full=True)
    _struck(org)
    _is_right(holdfast, org, job, run)
    assert run["counts"]["deleted"] == 0
    read = next(each for each in run["objects"] if each["object"] == BULK)
    assert read["rows"] == BULK_ROWS


def _end_of_row(org: RunningOrg, row: int) -> int:
    """Bytes up to the end of a row of the second page of the newest Bulk job, whose like the next run makes."""
    page = [page for page in org.calls()["bulk_pages"] if page["locator"]][-5]
    headers = {"Authorization": f"Bearer {org.token()}", "Accept-Encoding": "identity"}
    params = {"maxRecords": "1000", "locator": page["locator"]}
    for version in reversed(httpx.get(f"{org.url}/services/data").json()):  # a job answers in its own version only
        results = f"{org.url}{version['url']}/jobs/query/{page['job']}/results"
        answer = httpx.get(results, params=params, headers=headers)
        if answer.is_success:
            break
    answer.raise_for_status()
    lines = answer.content.split(b"\n")
    return sum(len(line) + 1 for line in lines[: row + 1])
