"""Whole runs against the local org, on real Postgres: what is read, and what is said of it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pyarrow.parquet as pq
import pytest

from holdfast.common.contracts.extractor import ExtractionPlanned, PlannedObject
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.outbox import MAX_PAYLOAD_BYTES
from holdfast.common.rpc.extractor.v1 import extractor_pb2 as messages
from holdfast.extractor import planner
from holdfast.extractor.leased_rows import RunRows, TaskRows
from holdfast.extractor.soql import ObjectQuery, Position
from holdfast.orgsim.testing import RunningOrg
from holdfast.vault.schema import RecordSchema

pytestmark = pytest.mark.integration
Make = Callable[..., Any]
Own = Callable[[str], str]
Events = list[tuple[str, dict[str, Any]]]

FIELDS = [{"name": "Number__c", "type": "double"}, {"name": "Text__c", "type": "string", "length": 255}]


def define(org: RunningOrg, name: str, rows: int) -> list[str]:
    return org.define(
        name, FIELDS, [{"Name": f"{name} {n}", "Number__c": str(n), "Text__c": "NA"} for n in range(rows)]
    )


def of(events: Events, kind: str, name: str | None = None) -> list[dict[str, Any]]:
    return [body for what, body in events if what == kind and name in (None, body.get("object"))]


async def test_a_baseline_reads_small_objects_by_rest_and_large_ones_by_bulk(
    org: RunningOrg, harness: Make, own: Own
) -> None:
    define(org, own("Small"), 300)
    define(org, own("Large"), 5000)
    events = await harness().run(own("Small"), own("Large"))
    plan = {item["object"]: item for item in of(events, "extraction.planned")[0]["objects"]}
    assert (plan[own("Small")]["strategy"], plan[own("Large")]["strategy"]) == ("rest", "bulk2")
    for name, rows in ((own("Small"), 300), (own("Large"), 5000)):
        extracted = of(events, "object.extracted", name)[0]
        assert extracted["rows"] == rows
        assert extracted["mode"] == "baseline"
        assert sum(page["rows"] for page in of(events, "page.staged", name)) == rows
        assert extracted["watermark"]


def test_whoever_goes_on_after_a_record_gets_all_that_come_after_it(org: RunningOrg, own: Own) -> None:
    """Records without a stamp come first: after the last of them come records with smaller ids."""
    days = [None, "2026-01-02T00:00:00Z", None, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"]
    rows = [{"Name": "x"} | ({"Due__c": day} if day else {}) for day in days]
    org.define(own("Due"), [{"name": "Due__c", "type": "datetime"}], rows)
    query = ObjectQuery(own("Due"), ("Id", "SystemModstamp"))

    def answer(after: Position | None) -> list[dict[str, Any]]:
        # Every record that the org makes has a stamp: a field that may be empty stands in for it.
        soql = query.ordered(after).replace("SystemModstamp", "Due__c")
        found = httpx.get(
            f"{org.url}/services/data/v62.0/queryAll",
            params={"q": soql},
            headers={"Authorization": f"Bearer {org.token()}"},
            trust_env=False,
        )
        return list(found.raise_for_status().json()["records"])

    whole = answer(None)
    assert [row["Due__c"] is None for row in whole] == [True, True, False, False, False]
    for number, row in enumerate(whole):
        stamp = datetime.fromisoformat(row["Due__c"]) if row["Due__c"] else None
        assert answer(Position(row["Id"], stamp)) == whole[number + 1 :]


async def test_what_is_staged_is_what_the_org_holds(org: RunningOrg, harness: Make, own: Own) -> None:
    ids = define(org, own("Large"), 4500)
    one = harness(extractor_page_bytes=100_000, extractor_parallel_from_pages=1000)
    events = await one.run(own("Large"))
    state = org.state(own("Large"))
    rows = [row for page in of(events, "page.staged") for row in read(one, page)]
    assert len(of(events, "page.staged")) == 5
    assert {row["_record_id"] for row in rows} == set(ids)
    assert all(row["Name"] == state[row["_record_id"]]["Name"] for row in rows)
    assert {row["Text__c"] for row in rows} == {"NA"}
    assert {row["_op"] for row in rows} == {"captured"}


async def test_the_manifest_and_the_schema_fit_what_is_in_the_store(org: RunningOrg, harness: Make, own: Own) -> None:
    define(org, own("Large"), 4500)
    one = harness(extractor_page_bytes=100_000, extractor_parallel_from_pages=1000)
    events = await one.run(own("Large"))
    pages = of(events, "page.staged")
    lines = [f"{page['page_id']} {page['rows']} {page['sha256']}\n" for page in pages]
    extracted = of(events, "object.extracted")[0]
    assert extracted["manifest"] == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert [page["seq"] for page in pages] == list(range(1, extracted["pages"] + 1))
    for page in pages:
        stored = await one.objects.get(page["path"])
        assert hashlib.sha256(stored).hexdigest() == page["sha256"]
        assert len(stored) == page["bytes"]
    schema = RecordSchema.from_json(await one.objects.get(f"{one.job_id}/schemas/{pages[0]['schema_id']}.json"))
    assert schema.object == own("Large") and "Number__c" in schema.names


async def test_the_next_run_reads_only_what_changed(org: RunningOrg, harness: Make, own: Own) -> None:
    ids = define(org, own("Thing"), 2500)
    one = harness()
    await one.run(own("Thing"))
    with rest(org) as api:
        api.patch(f"{own('Thing')}/{ids[7]}", json={"Text__c": "00123"}).raise_for_status()
        api.delete(f"{own('Thing')}/{ids[8]}").raise_for_status()
    events = await one.run(own("Thing"))
    assert of(events, "object.extracted")[0]["mode"] == "incremental"
    rows = [row for page in of(events, "page.staged") for row in read(one, page)]
    assert {row["_record_id"]: row["_op"] for row in rows} == {ids[7]: "captured", ids[8]: "deleted"}
    assert of(events, "page.staged")[0]["path"].startswith(f"{one.job_id}/staging/2/{own('Thing')}/")


async def test_an_unchanged_object_costs_one_query_and_no_page(org: RunningOrg, harness: Make, own: Own) -> None:
    define(org, own("Large"), 2500)
    define(org, own("Small"), 30)
    one = harness()
    await one.run(own("Large"), own("Small"))
    marks = await one.db.fetch("SELECT object, mark FROM watermark ORDER BY object")
    org.reset_calls()
    events = await one.run(own("Large"), own("Small"))
    assert org.calls()["total"] == 4  # global, all describes, all queries and counts, who looks
    assert not of(events, "page.staged")
    assert [item["pages"] for item in of(events, "object.extracted")] == [0, 0]
    assert await one.db.fetch("SELECT object, mark FROM watermark ORDER BY object") == marks


async def test_an_empty_object_leaves_no_mark_and_is_read_again(org: RunningOrg, harness: Make, own: Own) -> None:
    define(org, own("Empty"), 0)
    one = harness()
    first = of(await one.run(own("Empty")), "object.extracted")[0]
    assert (first["pages"], first["rows"], first["watermark"], first["mode"]) == (0, 0, None, "baseline")
    second = of(await one.run(own("Empty")), "object.extracted")[0]
    assert second["mode"] == "full", "what appears later is new, not part of a first capture"


async def test_a_full_run_reads_everything_again(org: RunningOrg, harness: Make, own: Own) -> None:
    define(org, own("Thing"), 50)
    one = harness()
    await one.run(own("Thing"))
    org.advance(7200)
    extracted = of(await one.run(own("Thing"), full=True), "object.extracted")[0]
    assert (extracted["mode"], extracted["rows"]) == ("full", 50)


async def test_a_change_too_large_for_rest_moves_to_bulk(org: RunningOrg, harness: Make, own: Own) -> None:
    define(org, own("Thing"), 1500)
    one = harness()
    await one.run(own("Thing"))
    one.worker._sources._bulk_from_rows = 1000
    events = await one.run(own("Thing"))
    assert of(events, "extraction.planned")[0]["objects"][0]["strategy"] == "rest"
    assert of(events, "object.extracted")[0]["rows"] == 1500
    assert await one.db.fetchval("SELECT strategy FROM task ORDER BY task_id DESC LIMIT 1") == "bulk2"


async def test_an_empty_selection_takes_recommended_objects_with_rows(org: RunningOrg, harness: Make, own: Own) -> None:
    define(org, own("Thing"), 3)
    define(org, own("Empty"), 0)
    events = await harness().run()
    names = {item["object"] for item in of(events, "extraction.planned")[0]["objects"]}
    assert own("Thing") in names and own("Empty") not in names
    assert not {name for name in names if name.endswith(("History", "Share", "Feed", "ChangeEvent"))}


async def test_a_plan_of_many_objects_is_told_in_pages(
    org: RunningOrg, harness: Make, own: Own, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [own(f"Thing{number}") for number in range(4)]
    for name in names:
        define(org, name, 1)
    monkeypatch.setattr(planner, "PLAN_PAGE", 2)
    pages = of(await harness().run(*names, "Nope__c"), "extraction.planned")
    assert [(page["page"], page["pages"], len(page["objects"])) for page in pages] == [(1, 3, 2), (2, 3, 2), (3, 3, 1)]
    assert {item["object"] for page in pages for item in page["objects"]} == {*names, "Nope__c"}


def test_a_page_of_the_longest_names_and_notes_is_small_enough() -> None:
    longest = "n" * 80
    planned = PlannedObject(
        object=longest, mode="incremental", strategy="bulk2", estimated_rows=10**10, estimated_calls=10**7
    )
    note = f"The org no longer has the object {longest}. Its records stay in the backup as they were in the last run."
    objects, notes = [planned] * planner.PLAN_PAGE, [note] * planner.PLAN_PAGE
    page = ExtractionPlanned(
        run_id=UUID(int=1), job_id=UUID(int=2), run=10**6, objects=objects, notes=notes, page=10, pages=10
    )
    assert len(page.model_dump_json().encode()) < MAX_PAYLOAD_BYTES


async def test_objects_that_cannot_be_read_fail_with_words_and_the_others_go_on(
    org: RunningOrg, harness: Make, own: Own
) -> None:
    define(org, own("Thing"), 3)
    define(org, own("Hidden"), 3)
    org.restrict(hidden_objects=[own("Hidden")])
    events = await harness().run(own("Thing"), own("Hidden"), "Nope__c")
    planned = {item["object"] for item in of(events, "extraction.planned")[0]["objects"]}
    assert planned == {own("Thing"), own("Hidden"), "Nope__c"}
    assert "no object Nope__c" in of(events, "object.failed", "Nope__c")[0]["reason"]
    assert of(events, "object.failed", own("Hidden"))[0]["reason"]
    assert of(events, "object.extracted", own("Thing"))[0]["rows"] == 3


async def test_a_failed_object_leaves_the_mark_where_it_was(org: RunningOrg, harness: Make, own: Own) -> None:
    define(org, own("Thing"), 3)
    one = harness()
    mark = of(await one.run(own("Thing")), "object.extracted")[0]["watermark"]
    org.advance(7200)
    define(org, own("Other"), 1)
    body = [{"message": "no", "errorCode": "INSUFFICIENT_ACCESS"}]
    refused = {"count": None, "effect": {"status": 403, "body": body}}
    org.faults({"path": f"queryAll.*{own('Thing')}", **refused}, {"path": "/composite", **refused})
    events = await one.run(own("Thing"), own("Other"))
    assert of(events, "object.failed", own("Thing"))[0]["code"] == "salesforce-insufficient-access"
    kept = await one.db.fetchval("SELECT mark FROM watermark WHERE object = $1", own("Thing"))
    assert kept == datetime.fromisoformat(mark)


async def test_nothing_to_read_is_refused(org: RunningOrg, harness: Make) -> None:
    org.restrict(hidden_objects=list(org.objects()))
    events = await harness().run()
    assert [kind for kind, _ in events] == ["extraction.refused"]
    assert "nothing to back up" in events[0][1]["reason"]


async def test_an_org_that_stays_away_is_refused_in_the_end(org: RunningOrg, harness: Make) -> None:
    one = harness(extractor_patience=timedelta(milliseconds=300))
    org.faults({"path": "sobjects$", "count": None, "effect": {"status": 404}})
    events = await one.run("Account")
    assert [kind for kind, _ in events] == ["extraction.refused"]
    assert events[0][1]["reason"]


async def test_calls_are_reported_in_batches(org: RunningOrg, harness: Make, own: Own) -> None:
    define(org, own("Large"), 3000)
    one = harness(extractor_page_bytes=100_000, extractor_parallel_from_pages=1000)
    org.reset_calls()
    events = await one.run(own("Large"))
    await one.orgs.ledger.report()
    assert sum(one.connections.reports) == org.calls()["total"]
    assert len(one.connections.reports) <= 4
    extracted = of(events, "object.extracted")[0]
    assert extracted["api_calls"] == org.calls()["total"] - 3  # describe global, counts, describe


async def test_progress_is_told_per_object(org: RunningOrg, harness: Make, own: Own) -> None:
    define(org, own("Thing"), 30)
    one = harness()
    service = one.service
    async with one.running():
        run_id = await one.request(own("Thing"), "Nope__c")
        await one.finished(run_id)
    progress = await service.GetProgress(messages.GetProgressRequest(run_id=str(run_id)), None)
    states = {item.object: (item.state, item.rows, item.pages) for item in progress.objects}
    assert states == {own("Thing"): ("extracted", 30, 1), "Nope__c": ("failed", 0, 0)}
    assert (progress.state, progress.rows, progress.api_calls) == ("done", 30, 5)
    listed = await service.ListObjects(messages.ListObjectsRequest(connection_id=str(one.connection_id)), None)
    things = {item.name: item for item in listed.objects}
    assert things[own("Thing")].recommended and things[own("Thing")].rows == 30


async def test_while_the_org_does_not_answer_the_run_says_so_and_then_goes_on(
    org: RunningOrg, harness: Make, own: Own
) -> None:
    define(org, own("Thing"), 3)
    one = harness()
    org.faults({"path": "/sobjects", "count": 99, "effect": {"truncate": 20}})
    async with one.running():
        run_id = await one.request(own("Thing"))
        asked = messages.GetProgressRequest(run_id=str(run_id))
        async with asyncio.timeout(20):
            while not (said := await one.service.GetProgress(asked, None)).HasField("waiting"):
                await asyncio.sleep(0.02)
        assert said.state == "waiting" and "Salesforce" in said.waiting.reason
        assert said.waiting.HasField("next_look_at") and not said.waiting.HasField("until")
        org.clear_faults()
        await one.finished(run_id)
    said = await one.service.GetProgress(asked, None)
    assert (said.state, said.rows, said.HasField("waiting")) == ("done", 3, False)


async def test_progress_of_an_unknown_run_is_not_found(org: RunningOrg, harness: Make) -> None:
    one = harness()
    service = one.service
    with pytest.raises(HoldfastError) as refused:
        await service.GetProgress(messages.GetProgressRequest(run_id=str(uuid4())), None)
    assert refused.value.kind is Kind.NOT_FOUND


def read(one: Any, page: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of a staged page."""
    rows: list[dict[str, Any]] = pq.read_table(
        one.objects.local_path(page["path"]), page_checksum_verification=True
    ).to_pylist()
    return rows


def rest(org: RunningOrg) -> httpx.Client:
    """The org's own API for single records."""
    return httpx.Client(
        base_url=f"{org.url}/services/data/v62.0/sobjects/",
        headers={"Authorization": f"Bearer {org.token()}"},
        trust_env=False,
    )


async def test_a_field_that_becomes_visible_is_read_of_every_record(org: RunningOrg, harness: Make, thing: str) -> None:
    define(org, thing, 20)
    one = harness()
    org.restrict(hidden_fields=[f"{thing}.Text__c"])
    await one.run(thing)
    org.restrict()
    events = await one.run(thing)
    assert of(events, "object.extracted", thing)[0]["mode"] == "full"
    rows = [row for page in of(events, "page.staged") for row in read(one, page)]
    assert [row["Text__c"] for row in rows] == ["NA"] * 20
    events = await one.run(thing)
    assert of(events, "object.extracted", thing)[0]["mode"] == "incremental"


@pytest.mark.parametrize("when", ["between the runs", "while it is read"])
async def test_a_field_that_goes_is_said_by_the_run_that_notices_and_by_no_other(
    org: RunningOrg, harness: Make, thing: str, when: str
) -> None:
    define(org, thing, 20)
    one = harness()
    (first,) = of(await one.run(thing), "object.extracted", thing)
    if when == "between the runs":
        org.restrict(hidden_fields=[f"{thing}.Text__c"])
    run_id = await one.request(thing)
    await one.planner.plan(await RunRows(one.db, "test", one.settings.extractor_lease).claim())
    org.restrict(hidden_fields=[f"{thing}.Text__c"])
    await one.read(await TaskRows(one.db, "test", one.settings.extractor_lease).claim())
    (second,) = of(await one.events(run_id), "object.extracted", thing)
    (third,) = of(await one.run(thing), "object.extracted", thing)
    sentence = f"The user can no longer read Text__c of {thing}; its last known values are kept."
    assert [first["gaps"], second["gaps"], third["gaps"]] == [[], [sentence], []]
