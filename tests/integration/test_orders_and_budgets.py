"""Runs that wait for the org's calls, and runs that are paused and cancelled, with a process per service."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.orgsim.testing import RunningOrg, start_org

from .harness import ENDED, Installation, assert_agree, free_port, wait_until

pytestmark = pytest.mark.integration
ROWS = 6_000
ENV = {
    "HOLDFAST_CONNECTIONS_BUDGET_RECHECK": "PT6S",
    "HOLDFAST_EXTRACTOR_BULK_THRESHOLD_ROWS": "1000",
    "HOLDFAST_EXTRACTOR_PAGE_BYTES": "100000",
    # Page after page by locators: pages side by side are larger, and leave no middle of a run.
    "HOLDFAST_EXTRACTOR_PARALLEL_FROM_PAGES": "1000",
}
RESULTS = "jobs/query/[^/]+/results"
STOPS_WITHIN_S = 5


@pytest.fixture
def holdfast(tmp_path: Path, kafka_servers: str, postgres_dsn: str) -> Iterator[Installation]:
    installation = Installation(tmp_path, kafka=kafka_servers, dsn=postgres_dsn)
    installation.env |= ENV
    installation.start()
    yield installation
    installation.stop()


@pytest.fixture
def org() -> Iterator[RunningOrg]:
    with start_org() as running:
        running.define("Thing__c", [], [{"Name": f"T{n}"} for n in range(ROWS)])
        yield running


def calls_of(org: RunningOrg) -> int:
    return sum(route["calls"] for route in org.calls()["routes"] if "/services/data/" in route["route"])


def quiet(org: RunningOrg) -> bool:
    """Whether the org is let alone for three seconds; just after a start each task has a look of its own first."""
    org.reset_calls()
    time.sleep(3)
    return calls_of(org) <= 1


def progress(holdfast: Installation, run_id: str) -> dict[str, Any]:
    return holdfast.get(f"/runs/{run_id}").get("progress") or {}


def test_a_used_up_limit_pauses_the_run_over_a_restart_while_other_orgs_go_on(
    holdfast: Installation, org: RunningOrg
) -> None:
    job = holdfast.create_job(holdfast.connect(org), ["Thing__c"])
    org.faults({"path": RESULTS, "skip": 2, "count": 1, "effect": {"daily_limit": {"for_s": 7200}}})
    run_id = holdfast.request_run(job)

    def waits() -> bool:
        return bool(progress(holdfast, run_id).get("waiting"))

    wait_until(waits, 60, lambda: f"{holdfast.get(f'/runs/{run_id}')}\n{holdfast.log}")
    shown = progress(holdfast, run_id)
    assert shown["state"] == "waiting" and "API calls" in shown["waiting"]["reason"], shown
    assert holdfast.get(f"/runs/{run_id}")["state"] == "running"
    with start_org() as other:
        other.define("Thing__c", [], [{"Name": "one"}])
        there = holdfast.create_job(holdfast.connect(other, "other"), ["Thing__c"], name="other")
        assert holdfast.run(there)["state"] == "completed", "another org's budget is another one"
    holdfast.stop()
    holdfast.start()
    wait_until(waits, 60, lambda: f"{holdfast.get(f'/runs/{run_id}')}\n{holdfast.log}")
    wait_until(lambda: quiet(org), 30, lambda: f"a run that waits lets the org alone, yet: {org.calls()}")
    org.advance(7300)
    assert holdfast.wait_run(run_id, 90)["state"] == "completed"
    assert_agree(holdfast.vault, job, org, ["Thing__c"])


def test_a_job_stops_at_its_share_of_the_day_and_leaves_the_rest(holdfast: Installation, org: RunningOrg) -> None:
    org.limits(maximum=1_000, used=380)
    job = holdfast.create_job(holdfast.connect(org), ["Thing__c"])
    changed = holdfast.http.patch(f"/jobs/{job}", json={"api_limit_percent": 40})
    assert changed.status_code == 200, changed.text
    run: dict[str, Any] = {}

    def settled() -> bool:
        run.update(holdfast.get(f"/runs/{run_id}"))
        return run["state"] in ENDED or bool((run["progress"] or {}).get("waiting"))

    for _ in range(20):
        run_id = holdfast.request_run(job, full=True)
        wait_until(settled, 60, lambda: f"{run}\n{holdfast.log}")
        if run["state"] not in ENDED:
            break
        assert run["state"] == "completed", run
    used = org.limits()["used"]
    assert 390 <= used <= 402, f"{used} calls are used: the job may reach 400, its /limits come on top"
    assert "the job stops at 40 %" in progress(holdfast, run_id)["waiting"]["reason"]
    cancelled = holdfast.post(f"/runs/{run_id}/cancel", {})
    assert cancelled["state"] == "cancelled", "also while it waits"


def test_pause_and_cancel_stop_every_process_within_seconds(holdfast: Installation, org: RunningOrg) -> None:
    """A second extractor works on the same runs; who hears the order and who reads is left to chance."""
    job = holdfast.create_job(holdfast.connect(org), ["Thing__c"])
    org.faults({"path": RESULTS, "count": None, "effect": {"latency_s": 1.0}})
    second = {
        "HOLDFAST_INSTANCE": "second",
        "HOLDFAST_EXTRACTOR_GRPC": f"127.0.0.1:{free_port()}",
        "HOLDFAST_DATA": str(holdfast.folder / "second"),
    }
    with holdfast.beside(["extractor"], second):
        run_id = holdfast.request_run(job)
        wait_until(lambda: progress(holdfast, run_id).get("rows", 0) > 0, 60, lambda: holdfast.log)
        took = _stops(holdfast, org, run_id, "pause")
        print(f"paused: nobody called the org after {took:.1f} s")
        durable = progress(holdfast, run_id)["rows"]
        assert holdfast.get(f"/runs/{run_id}")["state"] == "paused"
        assert holdfast.post(f"/runs/{run_id}/resume", {})["state"] == "running"
        wait_until(lambda: progress(holdfast, run_id)["rows"] > durable, 60, lambda: holdfast.log)
        took = _stops(holdfast, org, run_id, "cancel")
        print(f"cancelled: nobody called the org after {took:.1f} s")
        assert holdfast.get(f"/runs/{run_id}")["state"] == "cancelled"
        refused = holdfast.http.post(f"/runs/{run_id}/resume")
        assert (refused.status_code, refused.json()["type"].rsplit("/")[-1]) == (409, "run-ended")
        org.clear_faults()
        again = holdfast.run(job)
    assert again["state"] == "completed", again
    assert_agree(holdfast.vault, job, org, ["Thing__c"])


def _stops(holdfast: Installation, org: RunningOrg, run_id: str, order: str) -> float:
    """Give an order; seconds until the org heard the last call. Pages in the differ's hands may still arrive."""
    began = time.monotonic()
    holdfast.post(f"/runs/{run_id}/{order}", {})
    last, calls = began, calls_of(org)
    while time.monotonic() - began < STOPS_WITHIN_S + 3:
        time.sleep(0.1)
        now = calls_of(org)
        if now != calls:
            last, calls = time.monotonic(), now
    assert last - began < STOPS_WITHIN_S, f"the org was still called {last - began:.1f} s after the order"
    return last - began
