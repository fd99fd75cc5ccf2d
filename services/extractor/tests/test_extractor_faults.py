"""What an org, a network and a dying process do to a reading, and that it comes out whole all the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pyarrow.parquet as pq
import pytest

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.postgres import Unit
from holdfast.extractor import store
from holdfast.extractor.aborting import Aborts
from holdfast.extractor.budget import Granted, Wish
from holdfast.extractor.leased_rows import RunRows, TaskRows, release_own
from holdfast.extractor.steps import LEASE_WRITTEN, OBJECT_CLOSED, RUN_ORDERED, RUN_RECEIVED
from holdfast.orgsim.testing import RunningOrg

pytestmark = pytest.mark.integration
Make = Callable[..., Any]
Own = Callable[[str], str]
Events = list[tuple[str, dict[str, Any]]]
SMALL_PAGES = {"extractor_page_bytes": 100_000, "extractor_parallel_from_pages": 1000}  # 1,000 rows, the fewest
REST_ONLY = {"extractor_bulk_threshold_rows": 1_000_000}
JOB_CREATED = ("POST", "/services/data/v{version}/jobs/query")
FREE_AT = datetime(2031, 1, 1, tzinfo=UTC)
RESULTS = "jobs/query/[^/]+/results"
HANGS = {"latency_s": 60}  # longer than any test waits: what is to be stopped meanwhile is stopped, however loaded


def define(org: RunningOrg, name: str, rows: int) -> list[str]:
    fields = [{"name": "Text__c", "type": "string", "length": 255}]
    text = 'quoted " and, comma'
    return org.define(name, fields, [{"Name": f"{n}", "Text__c": text} for n in range(rows)])


def extracted(events: Events) -> dict[str, Any]:
    return next(body for kind, body in events if kind == "object.extracted")


def rows_staged(events: Events) -> int:
    return sum(body["rows"] for kind, body in events if kind == "page.staged")


def judged(one: Any, org: RunningOrg, name: str, events: Events) -> None:
    """What was staged is what the org's ledger says, cell by cell, whatever came twice."""
    pages = [body["path"] for kind, body in events if kind == "page.staged" and body["object"] == name]
    rows = [row for path in pages for row in pq.read_table(one.objects.local_path(path)).to_pylist()]
    read = {row["_record_id"]: (row["Name"], row["Text__c"], row["_op"]) for row in rows}
    assert read == {i: (row["Name"], row["Text__c"], "captured") for i, row in org.state(name).items()}


async def staged(one: Any, pages: int) -> None:
    async with asyncio.timeout(20):
        while await one.db.fetchval("SELECT count(*) FROM page") < pages:
            await asyncio.sleep(0.005)


def fetched(org: RunningOrg) -> list[int]:
    return [page["fetched"] for page in org.calls()["bulk_pages"]]


async def test_a_bulk_reading_goes_on_after_the_last_durable_page(org: RunningOrg, harness: Make, thing: str) -> None:
    define(org, thing, 6000)
    one = harness(**SMALL_PAGES)
    org.faults({"path": RESULTS, "skip": 3, "count": 1, "effect": HANGS})
    async with one.running():
        run_id = await one.request(thing)
        await staged(one, 3)
    assert await one.db.fetchval("SELECT holder FROM task") is None, "given back on stop"
    org.clear_faults()
    two = harness(**SMALL_PAGES)
    async with two.running():
        events = await two.finished(run_id)
    assert extracted(events)["rows"] == rows_staged(events) == 6000
    assert sorted(fetched(org))[:-1] == [1] * 5, "only the page that was not durable came twice"
    assert [body["seq"] for kind, body in events if kind == "page.staged"] == [1, 2, 3, 4, 5, 6]
    created = [route for route in org.calls()["routes"] if (route["method"], route["route"]) == JOB_CREATED]
    assert [route["calls"] for route in created] == [1], "the job was found again"


async def test_a_rest_reading_goes_on_after_the_last_durable_record(org: RunningOrg, harness: Make, thing: str) -> None:
    define(org, thing, 7000)
    one = harness(**REST_ONLY)
    org.faults({"path": "/query/", "skip": 1, "count": 1, "effect": HANGS})
    async with one.running():
        run_id = await one.request(thing)
        await staged(one, 2)
    org.clear_faults()
    two = harness(**REST_ONLY)
    async with two.running():
        events = await two.finished(run_id)
    assert extracted(events)["rows"] == rows_staged(events) == 7000, "nothing twice, nothing missing"


async def test_an_expired_locator_is_replaced_by_a_query_for_the_rest(
    org: RunningOrg, harness: Make, thing: str
) -> None:
    define(org, thing, 7000)
    org.faults({"path": "/query/", "skip": 1, "count": 1, "effect": {"expire_cursors": True}})
    one = harness(**REST_ONLY)
    events = await one.run(thing)
    assert extracted(events)["rows"] == rows_staged(events) == 7000
    judged(one, org, thing, events)


async def test_an_expired_session_is_renewed_once_for_all(org: RunningOrg, harness: Make, own: Own) -> None:
    names = [own(letter) for letter in "ABC"]
    for name in names:
        define(org, name, 3000)
    one = harness(**SMALL_PAGES)
    org.faults({"path": RESULTS, "skip": 2, "count": 1, "effect": {"expire_sessions": True}})
    events = await one.run(*names)
    assert rows_staged(events) == 9000
    assert len(one.connections.refused) == 1
    for name in names:
        judged(one, org, name, events)


@pytest.mark.parametrize(
    "effect",
    [{"status": 503}, {"reset": True}, {"close_after": 2000}, {"html": True, "status": 200}],
    ids=["unavailable", "reset", "cut-transfer", "maintenance"],
)
async def test_passing_trouble_is_survived(org: RunningOrg, harness: Make, thing: str, effect: dict[str, Any]) -> None:
    define(org, thing, 3000)
    org.faults(
        {"path": RESULTS, "skip": 1, "count": 1, "effect": effect},
        {"path": "describe", "count": 1, "effect": effect},
    )
    one = harness(**SMALL_PAGES)
    events = await one.run(thing)
    assert extracted(events)["rows"] == rows_staged(events) == 3000
    judged(one, org, thing, events)


@pytest.mark.parametrize("length", [20_000, 20_001, 20_050, 33], ids=str)
async def test_a_page_cut_short_is_fetched_again(org: RunningOrg, harness: Make, thing: str, length: int) -> None:
    define(org, thing, 3000)
    org.faults({"path": RESULTS, "skip": 1, "count": 1, "effect": {"truncate": length}})
    one = harness(**SMALL_PAGES)
    events = await one.run(thing)
    assert rows_staged(events) == 3000
    judged(one, org, thing, events)
    pages = org.calls()["bulk_pages"]
    mine = max(page["job"] for page in pages)  # an answer that an earlier test gave up on may be counted late
    assert sorted(page["fetched"] for page in pages if page["job"] == mine) == [1, 1, 2]


@pytest.mark.parametrize("again", [{"lie": {"reorder": True}}, {"lie": {"drop": 9}}, {"lie": {"repeat": 7}}], ids=str)
async def test_a_locator_that_answers_otherwise_when_asked_again(
    org: RunningOrg, harness: Make, thing: str, again: dict[str, Any]
) -> None:
    define(org, thing, 3000)
    org.faults(
        {"path": RESULTS, "skip": 1, "count": 1, "effect": {"truncate": 20_050}},
        {"path": RESULTS, "skip": 2, "count": 1, "effect": again},
    )
    one = harness(**SMALL_PAGES)
    events = await one.run(thing)
    assert [fault["applied"] for fault in org.faults()] == [1, 1]
    judged(one, org, thing, events)


async def test_a_failed_job_is_tried_once_more(org: RunningOrg, harness: Make, thing: str) -> None:
    define(org, thing, 3000)
    one = harness()
    org.faults({"method": "GET", "path": "jobs/query/[^/]+$", "count": 1, "effect": {"job": "Failed"}})
    events = await one.run(thing)
    assert extracted(events)["rows"] == 3000
    assert await one.db.fetchval("SELECT strategy || bulk_restarts FROM task") == "bulk21"
    judged(one, org, thing, events)


async def test_ranges_of_ids_are_tried_when_a_job_fails_twice(org: RunningOrg, harness: Make, thing: str) -> None:
    define(org, thing, 3000)
    one = harness()
    org.faults({"method": "GET", "path": "jobs/query/[^/]+$", "count": 2, "effect": {"job": "Failed"}})
    events = await one.run(thing)
    assert extracted(events)["rows"] == rows_staged(events) == 3000
    assert await one.db.fetchval("SELECT strategy FROM task") == "bulk2"
    assert await one.db.fetchval("SELECT count(DISTINCT bulk_job) FROM page") == 2, "a job for each half"
    judged(one, org, thing, events)


async def test_a_job_that_makes_no_progress_is_given_up(org: RunningOrg, harness: Make, thing: str) -> None:
    define(org, thing, 3000)
    one = harness(extractor_job_stuck_after=timedelta(milliseconds=300))
    org.faults({"method": "GET", "path": "jobs/query/[^/]+$", "count": 1, "effect": {"job": "stuck"}})
    events = await one.run(thing)
    assert extracted(events)["rows"] == rows_staged(events) == 3000
    assert await one.db.fetchval("SELECT strategy || bulk_restarts FROM task") == "bulk21"
    judged(one, org, thing, events)


@pytest.mark.parametrize("code", ["QUERY_TIMEOUT", "OPERATION_TOO_LARGE"])
async def test_a_query_that_is_too_much_is_halved(org: RunningOrg, harness: Make, thing: str, code: str) -> None:
    define(org, thing, 400)
    one = harness()
    org.faults({"path": f"queryAll.*(%2C|,).*{thing}", "count": 4, "effect": {"error": code}})
    events = await one.run(thing)
    assert extracted(events)["rows"] == rows_staged(events) == 400
    assert extracted(events)["pages"] == 4, "the ranges that three halvings came to"
    judged(one, org, thing, events)


async def test_what_cannot_be_made_smaller_is_named(org: RunningOrg, harness: Make, thing: str) -> None:
    ids = define(org, thing, 5)
    one = harness()
    org.faults({"path": f"queryAll.*(%2C|,).*{thing}", "count": None, "effect": {"error": "QUERY_TIMEOUT"}})
    failed = dict(await one.run(thing))["object.failed"]
    assert failed["code"] == "range-unreadable"
    assert f"fails for the record {min(ids)}" in failed["reason"]


async def test_ranges_go_on_where_a_killed_worker_was(org: RunningOrg, harness: Make, thing: str) -> None:
    define(org, thing, 5000)
    one = harness(**REST_ONLY)
    org.faults(
        {"path": f"queryAll.*{thing}", "count": 1, "effect": {"error": "QUERY_TIMEOUT"}},
        {"path": "queryAll.*Id%20%3E%3D", "count": 1, "effect": HANGS},
    )
    async with one.running():
        run_id = await one.request(thing)
        await staged(one, 2)
    org.clear_faults()
    two = harness(**REST_ONLY)
    async with two.running():
        events = await two.finished(run_id)
    assert extracted(events)["rows"] == rows_staged(events) == 5000, "no range twice, none left out"


async def test_rest_takes_over_when_bulk_keeps_failing(org: RunningOrg, harness: Make, thing: str) -> None:
    define(org, thing, 3000)
    one = harness()
    org.faults({"method": "GET", "path": "jobs/query/[^/]+$", "count": 3, "effect": {"job": "Failed"}})
    events = await one.run(thing)
    assert extracted(events)["rows"] == 3000
    assert await one.db.fetchval("SELECT strategy FROM task") == "rest"
    judged(one, org, thing, events)


async def test_rest_takes_over_when_bulk_does_not_take_the_object(org: RunningOrg, harness: Make, thing: str) -> None:
    define(org, thing, 3000)
    one = harness()
    body = [{"errorCode": "INVALIDENTITY", "message": "Entity 'Thing__c' is not supported by the Bulk API."}]
    org.faults({"method": "POST", "path": "jobs/query", "effect": {"status": 400, "body": body}})
    events = await one.run(thing)
    assert extracted(events)["rows"] == 3000
    assert await one.db.fetchval("SELECT strategy FROM task") == "rest"
    judged(one, org, thing, events)


async def test_a_result_that_is_gone_is_made_anew(org: RunningOrg, harness: Make, thing: str) -> None:
    define(org, thing, 3000)
    one = harness(**SMALL_PAGES)
    body = [{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}]
    org.faults({"path": RESULTS, "skip": 1, "count": 1, "effect": {"status": 404, "body": body}})
    events = await one.run(thing)
    closed = extracted(events)
    assert closed["pages"] == 4, "one page of the first job, three of the second: the differ takes both"
    assert rows_staged(events) == closed["rows"] == 4000
    judged(one, org, thing, events)


async def test_a_used_up_limit_is_waited_for(org: RunningOrg, harness: Make, thing: str) -> None:
    define(org, thing, 10)
    one = harness(extractor_patience=timedelta(milliseconds=1))
    spent: list[bool] = []

    def grant(wish: Wish) -> Granted:
        if any(report.exhausted == "calls" for report in one.connections.said) and not spent:
            pause = timedelta(minutes=7)
            return Granted(0, wish.slots, timedelta(minutes=1), pause, "All calls are used.", free_at=FREE_AT)
        return Granted(wish.calls, wish.slots, timedelta(minutes=1))

    one.connections.grant = grant
    body = [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}]
    org.faults({"path": "/composite", "count": 1, "effect": {"status": 403, "body": body}})
    async with one.running():
        run_id = await one.request(thing)
        async with asyncio.timeout(20):
            while await one.db.fetchval("SELECT wait_until FROM task") is None:
                await asyncio.sleep(0.02)
        row = await one.db.fetchrow("SELECT not_before - clock_timestamp() AS waits, * FROM task")
        assert timedelta(minutes=6) < row["waits"] <= timedelta(minutes=7)
        assert (row["wait_reason"], row["wait_until"], row["failures"]) == ("All calls are used.", FREE_AT, 0)
        assert not [kind for kind, _ in await one.events(run_id) if kind.startswith("object")]
    # The wait is in the database: another process goes on when it is over, however long it took.
    spent.append(True)
    two = harness(extractor_patience=timedelta(milliseconds=1))
    due = "UPDATE task SET not_before = clock_timestamp()"
    await two.db.run(LEASE_WRITTEN, lambda unit: unit.execute(due))
    async with two.running():
        assert extracted(await two.finished(run_id))["rows"] == 10


async def test_no_call_is_made_without_a_grant_and_a_batch_is_asked_for_once(
    org: RunningOrg, harness: Make, thing: str
) -> None:
    define(org, thing, 10)
    one = harness()
    assert extracted(await one.run(thing))["rows"] == 10
    await one.orgs.ledger.report()
    made = sum(report.calls for report in one.connections.said)
    wishes = [wish for wish in one.connections.wishes if wish.calls]
    assert made >= 4 and len(wishes) == 1, "one question for all calls of the run"
    assert (wishes[0].spending.percent, wishes[0].spending.purpose) == (80, "records")
    org.reset_calls()
    one.connections.grant = lambda wish: Granted(0, wish.slots, timedelta(minutes=1), timedelta(hours=1), "Used up.")
    two = harness()
    two.connections.grant = one.connections.grant
    async with two.running():
        await two.request(thing)
        async with asyncio.timeout(10):
            while not await two.db.fetchval("SELECT count(*) FROM extraction WHERE wait_reason = 'Used up.'"):
                await asyncio.sleep(0.02)
    assert not [route for route in org.calls()["routes"] if "/services/data" in route["route"]]


async def test_a_reader_that_lost_its_lease_cannot_write(org: RunningOrg, harness: Make, thing: str) -> None:
    define(org, thing, 10)
    one = harness(extractor_lease=timedelta(milliseconds=200))
    run_id = await one.request(thing)
    lease = one.settings.extractor_lease
    planning = await RunRows(one.db, "late", lease).claim()
    assert planning is not None
    await asyncio.sleep(0.3)
    await one.planner.plan(await RunRows(one.db, "quick", lease).claim())
    await one.planner.plan(planning)  # too late: changes nothing
    late = await TaskRows(one.db, "late", lease).claim()
    assert late is not None
    await asyncio.sleep(0.3)
    quick = await TaskRows(one.db, "quick", lease).claim()
    assert quick is not None and quick.epoch == late.epoch + 1
    await one.read(late)
    assert [kind for kind, _ in await one.events(run_id)] == ["extraction.planned"]
    with pytest.raises(HoldfastError) as fenced:
        async with one.db.unit(OBJECT_CLOSED) as unit:
            await store.lock_task(unit, late)
    assert fenced.value.kind is Kind.FENCED
    await one.read(quick)
    events = await one.events(run_id)
    assert [kind for kind, _ in events] == ["extraction.planned", "page.staged", "object.extracted"]


async def test_the_same_holder_takes_its_own_leases_back_at_once(org: RunningOrg, harness: Make, thing: str) -> None:
    define(org, thing, 10)
    one = harness(extractor_lease=timedelta(hours=1))
    await one.request(thing)
    rows = RunRows(one.db, "me", one.settings.extractor_lease)
    assert await rows.claim() is not None
    assert await rows.claim() is None
    await release_own(one.db, "somebody else")
    assert await rows.claim() is None
    await release_own(one.db, "me")
    assert await rows.claim() is not None


async def test_leases_are_renewed_while_work_goes_on(org: RunningOrg, harness: Make, thing: str) -> None:
    define(org, thing, 3000)
    one = harness(extractor_lease=timedelta(milliseconds=600), **SMALL_PAGES)
    org.faults({"path": RESULTS, "skip": 1, "count": 1, "effect": {"latency_s": 1.5}})
    events = await one.run(thing)
    assert rows_staged(events) == 3000
    assert await one.db.fetchval("SELECT epoch FROM task") == 1, "nobody took it over"


async def test_what_a_process_has_in_hand_it_does_not_take_over_from_itself(
    org: RunningOrg, harness: Make, thing: str
) -> None:
    """As it might after it stood still for longer than its lease, on a machine that was suspended or is overloaded."""
    define(org, thing, 3000)
    one = harness(**SMALL_PAGES)
    org.faults({"path": RESULTS, "skip": 1, "count": 1, "effect": {"latency_s": 1}})
    async with one.running():
        run_id = await one.request(thing)
        await staged(one, 1)
        await one.db.run(
            LEASE_WRITTEN, lambda unit: unit.execute("UPDATE task SET lease_until = now() - interval '1 s'")
        )
        one.workers.signal.set()
        events = await one.finished(run_id)
    assert rows_staged(events) == 3000
    assert await one.db.fetchval("SELECT epoch FROM task") == 1


@pytest.mark.parametrize("rows", [50, 3000], ids=["rest", "bulk"])
async def test_a_field_taken_away_after_planning_is_left_out(
    org: RunningOrg, harness: Make, thing: str, rows: int
) -> None:
    define(org, thing, rows)
    one = harness()
    lease = one.settings.extractor_lease
    run_id = await one.request(thing)
    await one.planner.plan(await RunRows(one.db, "test", lease).claim())
    org.restrict(hidden_fields=[f"{thing}.Text__c"])
    await one.read(await TaskRows(one.db, "test", lease).claim())
    events = await one.events(run_id)
    assert extracted(events)["rows"] == rows_staged(events) == rows
    page = next(body for kind, body in events if kind == "page.staged")
    schema = await one.objects.get(f"{one.job_id}/schemas/{page['schema_id']}.json")
    assert b"Text__c" not in schema and b"Name" in schema


async def test_a_field_that_comes_while_another_goes_is_read_of_every_record_by_the_next_run(
    org: RunningOrg, harness: Make, thing: str
) -> None:
    define(org, thing, 5)
    one = harness()
    lease = one.settings.extractor_lease
    await one.run(thing)
    await one.request(thing)
    await one.planner.plan(await RunRows(one.db, "test", lease).claim())
    org.restrict(hidden_fields=[f"{thing}.Text__c"])
    org.schema({"objects": [{"name": thing, "fields": [{"name": "Renamed__c", "type": "string", "length": 9}]}]})
    await one.read(await TaskRows(one.db, "test", lease).claim())
    following = extracted(await one.run(thing))
    assert (following["mode"], following["rows"]) == ("full", 5)


async def test_a_plan_asks_for_the_token_of_today(org: RunningOrg, harness: Make, thing: str) -> None:
    define(org, thing, 5)
    one = harness()
    await one.run(thing)
    one.connections._token = ""
    asked = one.connections.asked
    await one.run(thing)
    assert one.connections.asked == asked + 1
    assert one.connections.refused == []


async def test_a_defect_of_ours_ends_the_run_after_three_tries(
    org: RunningOrg, harness: Make, thing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    define(org, thing, 5)
    one = harness()

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(one.worker, "_source", broken)
    failed = dict(await one.run(thing))["object.failed"]
    assert "ZeroDivisionError" in failed["reason"]
    monkeypatch.setattr(one.planner._drafter, "draft", broken)
    refused = dict(await one.run(thing))["extraction.refused"]
    assert "ZeroDivisionError" in refused["reason"]


async def test_a_closing_that_was_put_off_does_not_take_the_time_of_a_later_job(
    org: RunningOrg, harness: Make, thing: str
) -> None:
    define(org, thing, 5)
    one = harness()
    lease = one.settings.extractor_lease
    run_id = await one.request(thing)
    await one.planner.plan(await RunRows(one.db, "test", lease).claim())
    newest = datetime(2026, 1, 1, tzinfo=UTC)

    async def died_before_closing(unit: Unit) -> None:
        await unit.execute("UPDATE task SET drained = true, max_stamp = $1", newest)
        later = "INSERT INTO task (task_id, run_id, object, mode, strategy, state, estimated_rows, estimated_calls"
        values = "VALUES ($1, $2, 'Later', 'baseline', 'bulk2', 'extracted', 0, 0, $3)"
        await unit.execute(f"{later}, read_from) {values}", uuid4(), run_id, newest + timedelta(days=2))

    await one.db.run(RUN_RECEIVED, died_before_closing)
    await one.read(await TaskRows(one.db, "test", lease).claim())
    assert datetime.fromisoformat(extracted(await one.events(run_id))["watermark"]) == newest


async def ordered(one: Any, change: Any, run_id: UUID) -> float:
    """Carry an order out as the consumer would; seconds until nobody works on the run any more."""
    began = time.monotonic()
    await one.db.run(RUN_ORDERED, lambda unit: change(unit, run_id))
    async with asyncio.timeout(10):
        while one.workers.busy or one.planners.busy:
            await asyncio.sleep(0.01)
    return time.monotonic() - began


async def test_a_paused_run_stops_at_once_and_goes_on_after_the_last_durable_page(
    org: RunningOrg, harness: Make, thing: str
) -> None:
    define(org, thing, 6000)
    org.faults({"path": RESULTS, "skip": 3, "count": 1, "effect": HANGS})
    one = harness(**SMALL_PAGES)
    async with one.running():
        run_id = await one.request(thing)
        await staged(one, 3)
        # The order came in by another process: this one only has its watch to find out.
        assert await ordered(one, store.pause_run, run_id) < 3
        await ordered(one, store.pause_run, run_id)
        one.workers.signal.set()
        await asyncio.sleep(0.3)
        assert await one.db.fetchval("SELECT count(*) FROM page") == 3
        assert await one.db.fetchval("SELECT holder FROM task") is None
        await one.db.run(RUN_ORDERED, lambda unit: store.resume_run(unit, run_id))
        events = await one.finished(run_id)
    assert extracted(events)["rows"] == rows_staged(events) == 6000
    assert [body["seq"] for kind, body in events if kind == "page.staged"] == [1, 2, 3, 4, 5, 6]
    assert sorted(fetched(org))[:-1] == [1] * 5, "only the page that was not durable came twice"


async def test_a_cancelled_run_leaves_the_mark_and_stops_the_bulk_job(
    org: RunningOrg, harness: Make, thing: str
) -> None:
    define(org, thing, 6000)
    org.faults({"path": "/jobs/query/?$", "method": "POST", "count": 1, "effect": {"job": "stuck"}})
    org.faults({"path": "/jobs/query/[^/]+$", "method": "GET", "count": None, "effect": {"job": "stuck"}})
    one = harness(**SMALL_PAGES)
    async with one.running():
        run_id = await one.request(thing)
        async with asyncio.timeout(20):
            while await one.db.fetchval("SELECT bulk_job FROM task") is None:
                await asyncio.sleep(0.01)
        assert await ordered(one, store.cancel_run, run_id) < 3
        await ordered(one, store.cancel_run, run_id)
        bulk_job = await one.db.fetchval("SELECT bulk_job FROM abandoned_job")
        aborts = Aborts(one.db, one.orgs)
        assert await aborts.stop_one()
        assert not await aborts.stop_one()
        org.clear_faults()
        client = await one.orgs.client(one.connection_id)
        assert (await client.get_query_job(bulk_job)).state == "Aborted"
        assert await one.db.fetchval("SELECT count(*) FROM watermark") == 0
        assert "object.extracted" not in [kind for kind, _ in await one.events(run_id)]
        events = await one.finished(await one.request(thing))
    assert (extracted(events)["mode"], extracted(events)["rows"]) == ("baseline", 6000)


async def test_a_run_that_is_paused_or_cancelled_while_it_is_planned_is_not_planned(
    org: RunningOrg, harness: Make, thing: str
) -> None:
    define(org, thing, 3)
    org.faults({"path": "/describe", "count": 1, "effect": HANGS})
    one = harness()
    async with one.running():
        run_id = await one.request(thing)
        async with asyncio.timeout(20):
            while not one.planners.busy:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert await ordered(one, store.pause_run, run_id) < 3
        assert await one.events(run_id) == []
        await ordered(one, store.cancel_run, run_id)
        await ordered(one, store.resume_run, run_id)  # the order to resume came too late
        await asyncio.sleep(0.3)
        assert await one.events(run_id) == []
        assert await one.db.fetchval("SELECT state FROM extraction") == "cancelled"
