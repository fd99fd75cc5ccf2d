"""Passes after the reading: what changed since, what was deleted, all that lives; once, whatever is repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import httpx
import polars as pl
import pyarrow.parquet as pq
import pytest

from holdfast.common.contracts.differ import ObjectDiffed, ObjectDoubted, Proof
from holdfast.common.contracts.manifest import manifest_hash
from holdfast.common.errors import HoldfastError, Kind
from holdfast.extractor import store, worker
from holdfast.extractor.passes import begin_part, begin_pass
from holdfast.extractor.steps import MISMATCH_NOTED, PASS_BEGUN
from holdfast.orgsim.testing import RunningOrg
from holdfast.vault.census import sums_of

pytestmark = pytest.mark.integration
Make = Callable[..., Any]
Own = Callable[[str], str]
Events = list[tuple[str, dict[str, Any]]]
SMALL_PAGES = {"extractor_page_bytes": 100_000}
CENSUS_DUE = {"extractor_census_every": timedelta(microseconds=1)}
FIELDS = [{"name": "Text__c", "type": "string", "length": 255}]


def define(org: RunningOrg, name: str, rows: int) -> list[str]:
    return org.define(name, FIELDS, [{"Name": f"{n}"} for n in range(rows)])


def rest(org: RunningOrg) -> httpx.Client:
    address = f"{org.url}/services/data/v62.0/sobjects/"
    return httpx.Client(base_url=address, headers={"Authorization": f"Bearer {org.token()}"}, trust_env=False)


def pages_of(events: Events, mode: str) -> list[dict[str, Any]]:
    return [body for kind, body in events if kind == "page.staged" and body["mode"] == mode]


def extracted(events: Events) -> list[dict[str, Any]]:
    return [body for kind, body in events if kind == "object.extracted"]


def rows_of(one: Any, pages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    folder = one.objects.root if hasattr(one.objects, "root") else one.objects._root
    return [row for page in pages for row in pq.read_table(folder / page["path"]).to_pylist()]


async def advance(one: Any, seconds: int) -> None:
    """Move the org's clock, and let the client hear of it."""
    one.org.advance(seconds)
    await (await one.orgs.client(one.connection_id)).versions()


async def doubt(one: Any, run_id: UUID, name: str, wanted: str, of_pass: int = 1, times: int = 2) -> list[bool]:
    event = ObjectDoubted(
        job_id=one.job_id, run_id=run_id, run=one.runs, object=name, pass_number=of_pass, wanted=wanted, reason="r"
    )  # type: ignore[arg-type]
    return [await one.db.run(PASS_BEGUN, lambda unit: begin_pass(unit, event, one.settings)) for _ in range(times)]


async def read(one: Any, name: str, full: bool = False) -> UUID:
    run_id = await one.request(name, full=full)
    await one.finished(run_id)
    return run_id


async def again(one: Any, run_id: UUID, name: str, wanted: str, of_pass: int = 1) -> Events:
    """One more pass, asked for twice; all events of the run."""
    assert await doubt(one, run_id, name, wanted, of_pass) == [True, False]
    return await one.finished(run_id)


async def test_a_delta_reads_what_changed_since_and_counts_again(org: RunningOrg, harness: Make, thing: str) -> None:
    define(org, thing, 3)
    one = harness(extractor_overlap=timedelta(0))
    async with one.running():
        run_id = await read(one, thing)
        with rest(org) as api:
            made = api.post(thing, json={"Name": "late"}).raise_for_status().json()["id"]
        events = await again(one, run_id, thing, "delta")
    first, second = extracted(events)
    assert (first["pass_number"], first["purpose"], first["count"]["records"]) == (1, "reading", 3)
    assert (second["pass_number"], second["purpose"], second["count"]["records"]) == (2, "delta", 4)
    assert second["mode"] == "baseline" and second["rows"] >= 4
    late = rows_of(one, pages_of(events, "incremental"))
    assert made in {row["_record_id"] for row in late}
    pages = [body for kind, body in events if kind == "page.staged"]
    lines = [store.DurablePage(page["page_id"], page["rows"], page["sha256"]) for page in pages]
    assert (second["pages"], second["manifest"]) == (2, manifest_hash(lines)), "pages of both passes"
    assert second["watermark"] >= first["watermark"]


@pytest.mark.parametrize("rows", [30, 2_500], ids=["rest", "bulk"])
async def test_a_census_lists_all_living_records_and_those_the_org_says_are_gone(
    org: RunningOrg, harness: Make, thing: str, rows: int
) -> None:
    ids = define(org, thing, rows)
    one = harness(**SMALL_PAGES)
    async with one.running():
        run_id = await read(one, thing)
        with rest(org) as api:
            api.delete(f"{thing}/{ids[0]}").raise_for_status()
        await advance(one, 120)  # the list knows whole minutes
        events = await again(one, run_id, thing, "census")
    last = extracted(events)[-1]
    listed = rows_of(one, pages_of(events, "census"))
    assert {row["_record_id"] for row in listed} == set(ids[1:])
    stamps = pl.Series([row["_modified_at"] for row in listed]).dt.epoch("ms")
    sums = sums_of(pl.Series([row["_record_id"] for row in listed]), stamps)
    assert (last["census"]["records"], last["census"]["ids"], last["census"]["stamps"]) == (
        rows - 1,
        sums.ids,
        sums.stamps,
    )
    assert (last["purpose"], last["pass_number"], last["count"]["records"]) == ("census", 2, rows - 1)
    gone = rows_of(one, pages_of(events, "deletions"))
    assert [(row["_record_id"], row["_op"]) for row in gone] == [(ids[0], "deleted")]
    assert last["rows"] == extracted(events)[0]["rows"], "what is listed is not read"
    assert last["watermark"] == extracted(events)[0]["watermark"]
    jobs = sum(item["calls"] for item in org.calls()["routes"] if item["route"].endswith("/jobs/query"))
    assert jobs == (2 if rows > 2_000 else 0)
    deletions, census = pages_of(events, "deletions")[0], pages_of(events, "census")[0]
    assert deletions["seq"] < census["seq"], "who is in both lists lives"
    assert all(page["path"].startswith(f"{one.job_id}/staging/1/{thing}/") for page in (deletions, census))


async def test_the_list_of_deletions_goes_on_where_the_last_one_ended(
    org: RunningOrg, harness: Make, thing: str
) -> None:
    ids = define(org, thing, 5)
    one = harness()
    async with one.running():
        for number in (0, 1):
            run_id = await read(one, thing)
            with rest(org) as api:
                api.delete(f"{thing}/{ids[number]}").raise_for_status()
            await advance(one, 180)
            events = await again(one, run_id, thing, "census")
            gone = [row["_record_id"] for row in rows_of(one, pages_of(events, "deletions"))]
            assert gone == [ids[number]]


async def test_an_org_without_a_list_of_deletions_is_no_obstacle(org: RunningOrg, harness: Make, thing: str) -> None:
    define(org, thing, 3)
    one = harness()
    refusal = {"code": "INVALID_REPLICATION_DATE", "message": "startDate before org replication enabled date"}
    org.faults({"path": "/deleted", "count": None, "effect": {"error": refusal}})
    async with one.running():
        events = await again(one, await read(one, thing), thing, "census")
    last = extracted(events)[-1]
    assert last["census"]["records"] == 3
    assert any(note.startswith(f"Salesforce gives no list of deleted records of {thing}") for note in last["notes"])


async def test_a_list_of_deletions_that_was_purged_is_said_and_the_census_decides(
    org: RunningOrg, harness: Make, thing: str
) -> None:
    ids = define(org, thing, 3)
    one = harness()
    async with one.running():
        run_id = await read(one, thing)
        with rest(org) as api:
            api.delete(f"{thing}/{ids[0]}").raise_for_status()
        await advance(one, 120)
        httpx.post(f"{org.url}/_org/delete-log", json={"object": thing}, trust_env=False).raise_for_status()
        events = await again(one, run_id, thing, "census")
    assert pages_of(events, "deletions") == []
    assert {row["_record_id"] for row in rows_of(one, pages_of(events, "census"))} == set(ids[1:])
    (note,) = extracted(events)[-1]["notes"]
    assert note.startswith(f"Salesforce's list of deleted records of {thing} reaches back to ")


async def test_a_pass_that_cannot_be_done_ends_the_object_with_the_reason(
    org: RunningOrg, harness: Make, thing: str
) -> None:
    define(org, thing, 3)
    one = harness()
    async with one.running():
        run_id = await read(one, thing)
        org.restrict(hidden_objects=[thing])
        events = await again(one, run_id, thing, "census")
    last = extracted(events)[-1]
    assert (last["pass_number"], last["count"], last["census"]) == (2, None, None)
    assert last["not_counted"] and last["rows"] == 3
    assert not [body for kind, body in events if kind == "object.failed"]


async def test_a_delta_that_was_not_read_to_its_end_moves_no_mark(org: RunningOrg, harness: Make, thing: str) -> None:
    define(org, thing, 3)
    one = harness(extractor_bulk_threshold_rows=1_000_000)
    refused = {"status": 400, "body": [{"errorCode": "MALFORMED_QUERY", "message": "No."}]}
    async with one.running():
        run_id = await read(one, thing)
        define(org, thing, 2_500)
        await advance(one, 5 * 3600)
        org.faults({"path": "/query/", "count": None, "effect": refused})
        events = await again(one, run_id, thing, "delta")
    first, second = extracted(events)
    assert second["not_counted"] and second["rows"] > first["rows"], "a page of it is durable"
    assert second["watermark"] == first["watermark"]


async def test_doubts_of_other_passes_and_of_ended_runs_change_nothing(
    org: RunningOrg, harness: Make, thing: str
) -> None:
    define(org, thing, 3)
    one = harness()
    async with one.running():
        run_id = await read(one, thing)
        assert await doubt(one, run_id, thing, "delta", of_pass=2) == [False, False]
        await again(one, run_id, thing, "delta")
        assert await doubt(one, run_id, thing, "census", of_pass=1) == [False, False]
        events = await again(one, run_id, thing, "census", of_pass=2)
    assert [body["pass_number"] for body in extracted(events)] == [1, 2, 3]
    await one.db.run(PASS_BEGUN, lambda unit: store.cancel_run(unit, run_id))
    assert await doubt(one, run_id, thing, "census", of_pass=3) == [False, False]
    waiting = await one.db.fetchval("SELECT count(*) FROM task WHERE state = 'waiting'")
    assert waiting == 0, "files of the org wait for as long as one does"


async def test_a_worker_of_the_pass_before_cannot_write_any_more(org: RunningOrg, harness: Make, thing: str) -> None:
    define(org, thing, 3)
    one = harness()
    async with one.running():
        run_id = await read(one, thing)
    before = await one.db.fetchval("SELECT epoch FROM task")
    await doubt(one, run_id, thing, "delta", times=1)
    assert await one.db.fetchval("SELECT epoch FROM task") > before


async def test_a_census_goes_on_after_the_last_durable_page(org: RunningOrg, harness: Make, thing: str) -> None:
    ids = define(org, thing, 120_000)
    one = harness()
    async with one.running():
        run_id = await read(one, thing)
        pages = await one.db.fetchval("SELECT count(*) FROM page")
        org.faults({"path": "jobs/query/[^/]+/results", "skip": 1, "count": 1, "effect": {"latency_s": 60}})
        await doubt(one, run_id, thing, "census")
        one.workers.signal.set()
        async with asyncio.timeout(30):
            while await one.db.fetchval("SELECT count(*) FROM page") <= pages:
                await asyncio.sleep(0.01)
    org.clear_faults()
    two = harness()
    async with two.running():
        events = await two.finished(run_id)
    last = extracted(events)[-1]
    assert last["census"]["records"] == len(ids) == last["count"]["records"]
    assert sum(page["rows"] for page in pages_of(events, "census")) == len(ids)


async def test_a_census_that_is_due_follows_the_reading_in_the_same_pass(
    org: RunningOrg, harness: Make, thing: str
) -> None:
    define(org, thing, 4)
    one = harness(**CENSUS_DUE)
    first = extracted(await one.run(thing))[-1]
    assert first["census"] is None, "a first reading is no second witness"
    assert {wish.spending.purpose for wish in one.connections.wishes} == {"records"}
    events = await one.run(thing)
    assert "census" in {wish.spending.purpose for wish in one.connections.wishes}, "its calls stop before the records'"
    (due,) = extracted(events)
    assert (due["pass_number"], due["purpose"], due["mode"]) == (1, "census", "incremental")
    assert due["census"]["records"] == 4 == due["count"]["records"]


async def test_the_living_are_counted_after_they_were_listed(
    org: RunningOrg, harness: Make, thing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    define(org, thing, 4)
    one = harness(**CENSUS_DUE)
    await one.run(thing)

    async def meanwhile(db: Any, claim: Any, part: Any, settings: Any) -> Any:
        if part == "census":
            with rest(org) as api:
                api.post(thing, json={"Name": "late"}).raise_for_status()
        return await begin_part(db, claim, part, settings)

    monkeypatch.setattr(worker, "begin_part", meanwhile)
    (due,) = extracted(await one.run(thing))
    assert (due["census"]["records"], due["count"]["records"]) == (5, 5)


async def test_a_census_whose_job_came_to_nothing_is_summed_as_it_was_staged(
    org: RunningOrg, harness: Make, thing: str
) -> None:
    define(org, thing, 120_000)
    one = harness()
    async with one.running():
        run_id = await read(one, thing)
        gone = {"status": 404, "body": [{"errorCode": "NOT_FOUND", "message": "The result is gone."}]}
        org.faults({"path": "jobs/query/[^/]+/results", "skip": 1, "count": 1, "effect": gone})
        events = await again(one, run_id, thing, "census")
    listed = rows_of(one, pages_of(events, "census"))
    assert len(listed) > 120_000, "one page came twice"
    stamps = pl.Series([row["_modified_at"] for row in listed]).dt.epoch("ms")
    sums = sums_of(pl.Series([row["_record_id"] for row in listed]), stamps)
    said = extracted(events)[-1]["census"]
    assert (said["records"], said["ids"], said["stamps"]) == (sums.records, sums.ids, sums.stamps)


async def test_a_census_is_listed_by_rest_when_bulk_jobs_come_to_nothing(
    org: RunningOrg, harness: Make, thing: str
) -> None:
    ids = define(org, thing, 3_000)
    one = harness()
    async with one.running():
        run_id = await read(one, thing)
        org.faults({"method": "GET", "path": "jobs/query/[^/]+$", "count": 2, "effect": {"job": "Failed"}})
        events = await again(one, run_id, thing, "census")
    said = extracted(events)[-1]
    assert said["census"]["records"] == len(ids) == said["count"]["records"]
    assert await one.db.fetchval("SELECT strategy FROM task") == "rest", "a dead job is not looked at again and again"


async def test_a_due_census_that_cannot_be_listed_leaves_the_reading_as_it_is(
    org: RunningOrg, harness: Make, thing: str
) -> None:
    define(org, thing, 4)
    one = harness(**CENSUS_DUE)
    await one.run(thing)
    refused = {"status": 400, "body": [{"errorCode": "MALFORMED_QUERY", "message": "No."}]}
    org.faults({"path": f"/query.*SELECT%20Id%2CSystemModstamp%20FROM%20{thing}", "count": None, "effect": refused})
    events = await one.run(thing)
    assert not [body for kind, body in events if kind == "object.failed"]
    (said,) = extracted(events)
    assert (said["purpose"], said["census"], said["count"]) == ("census", None, None)
    assert said["not_counted"] and said["watermark"], "the records are read, so the mark follows"


async def test_a_number_is_left_to_the_differ_between_two_passes(org: RunningOrg, harness: Make, thing: str) -> None:
    """For the page of those that turned out to be gone: it stands behind this pass and before the next one."""
    define(org, thing, 3)
    one = harness()
    async with one.running():
        run_id = await read(one, thing)
        await again(one, run_id, thing, "census")
        events = await again(one, run_id, thing, "census", of_pass=2)
    assert [page["seq"] for page in pages_of(events, "baseline")] == [1]
    assert [page["seq"] for page in pages_of(events, "census")] == [3, 5]
    assert await one.db.fetchval("SELECT next_seq - pass_number FROM task") == 3


async def test_a_due_census_is_put_off_while_calls_are_short(org: RunningOrg, harness: Make, thing: str) -> None:
    define(org, thing, 4)
    one = harness(**CENSUS_DUE, extractor_census_up_to_percent=10)
    await one.run(thing)
    before = org.limits()
    try:
        org.limits(used=before["max"] // 2)
        await one.run(thing)  # hears how much is used
        assert extracted(await one.run(thing))[-1]["census"] is None
        org.limits(used=0)
        await one.run(thing)
        assert extracted(await one.run(thing))[-1]["census"]["records"] == 4
    finally:
        org.limits(used=before["used"])


async def test_every_object_is_read_whole_when_its_turn_comes(org: RunningOrg, harness: Make, thing: str) -> None:
    define(org, thing, 4)
    one = harness()
    modes = []
    start = datetime.now(UTC)

    class Moved:
        day = 0

        def now(self) -> datetime:
            return start + timedelta(days=self.day)

    clock = Moved()
    one.planner._drafter._clock = one.closer._clock = clock
    for day in range(16):
        clock.day = day
        modes.append(extracted(await one.run(thing))[-1]["mode"])
    whole = [day for day, mode in enumerate(modes) if mode == "full"]
    assert modes[0] == "baseline" and len(whole) in (2, 3)
    assert {later - day for day, later in pairwise(whole)} == {7}


async def test_after_a_mismatch_the_next_run_reads_whole_though_everything_reached_the_vault(
    org: RunningOrg, harness: Make, thing: str
) -> None:
    define(org, thing, 4)
    one = harness()
    await one.run(thing)
    for state, mode in (("proven", "incremental"), ("not proven", "incremental"), ("mismatch", "full")):
        proof = Proof(state=state, vault_records=4, passes=1, at=datetime.now(UTC))  # type: ignore[arg-type]
        event = ObjectDiffed(
            job_id=one.job_id, run_id=UUID(int=one.runs), run=one.runs, object=thing, table="t", version=1,
            chain_head="", rows_read=4, bytes_written=0, counts={}, proof=proof,
        )  # type: ignore[arg-type]  # fmt: skip
        for _ in range(2):
            await one.db.run(MISMATCH_NOTED, lambda unit, event=event: store.note_outcome(unit, event))  # type: ignore[misc]
        assert extracted(await one.run(thing))[-1]["mode"] == mode
    assert extracted(await one.run(thing))[-1]["mode"] == "incremental", "the whole reading made it good"


async def test_a_census_that_stopped_between_its_lists_goes_on(
    org: RunningOrg, harness: Make, thing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = define(org, thing, 5)
    one = harness()
    stopped: list[str] = []

    async def stop_once(db: Any, claim: Any, part: Any, settings: Any) -> Any:
        if not stopped:
            stopped.append(part)
            raise HoldfastError(Kind.UNAVAILABLE, "stopped")
        return await begin_part(db, claim, part, settings)

    monkeypatch.setattr(worker, "begin_part", stop_once)
    async with one.running():
        run_id = await read(one, thing)
        with rest(org) as api:
            api.delete(f"{thing}/{ids[0]}").raise_for_status()
        await advance(one, 120)
        events = await again(one, run_id, thing, "census")
    assert stopped == ["census"]
    assert extracted(events)[-1]["census"]["records"] == 4
    assert len(pages_of(events, "deletions")) == 1, "what was durable is not asked for again"
