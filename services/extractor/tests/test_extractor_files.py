"""Files come in after their records: each content once, checked, and never missing in silence."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from extractor_files import QUICK, Fetching, Uploads, cell, text, version

from holdfast.orgsim.testing import RunningOrg

pytestmark = pytest.mark.integration
Make = Callable[..., Any]


@pytest.fixture
def uploads(org: RunningOrg) -> Iterator[Uploads]:
    with contextlib.closing(Uploads(org)) as made:
        yield made


@pytest.fixture
def fetching(harness: Make) -> Fetching:
    return Fetching(harness(**QUICK))


def truth(org: RunningOrg, object_name: str, field: str, ids: list[str]) -> dict[str, list[str]]:
    """What the org's ledger says that the records hold."""
    state = org.state(object_name)
    return {record: [str(state[record][field])] for record in ids}


def mine(cells: dict[str, list[str]], ids: list[str]) -> dict[str, list[str]]:
    return {record: values for record, values in cells.items() if record in set(ids)}


async def test_many_equal_files_are_stored_once(org: RunningOrg, uploads: Uploads, fetching: Fetching) -> None:
    contents = [b"x" * 5_000 if n % 4 else f"only {n}".encode() * 50 for n in range(200)]
    ids = uploads.versions(contents)
    org.reset_calls()
    said = await fetching.run("ContentVersion")
    assert (said["failed"], said["missing"], said["stored"]) == (0, [], said["files"])
    cells = mine(await fetching.cells(), ids)
    assert cells == truth(org, "ContentVersion", "VersionData", ids)
    assert set(fetching.blobs()) >= {hashlib.sha256(content).hexdigest() for content in contents}
    assert len(fetching.blobs()) == len(set(fetching.blobs()))
    assert len({hashlib.sha256(content).hexdigest() for content in contents}) == 51
    assert all(fetching.content(cells[record][0]) == data for record, data in zip(ids, contents, strict=True))


async def test_what_is_stored_is_not_fetched_again(org: RunningOrg, uploads: Uploads, fetching: Fetching) -> None:
    first, second = uploads.versions([b"one", b"two"])
    await fetching.run("ContentVersion")
    held = dict(await fetching.cells())
    org.reset_calls()
    async with fetching.running():
        await fetching.one.finished(await fetching.one.request("ContentVersion", full=True))
        org.advance(1)  # a version is told by its stamp, which counts seconds
        uploads.change("ContentVersion", first, {"Title": "another name, the same content"})
        renamed = await fetching.one.request("ContentVersion")
        await fetching.one.finished(renamed)
        await fetching.settled(renamed)
    fetched = [route for route in org.calls()["routes"] if route["route"].endswith("/{field}/{value}")]
    assert not fetched, "neither a full reading nor an equal checksum costs a call"
    cells = await fetching.cells()
    assert cells[first] == held[first] * 2, "the new version of the record says that it holds the same"
    assert cells[second] == held[second]


async def test_all_versions_attachments_documents_resources_and_logs(
    org: RunningOrg, uploads: Uploads, fetching: Fetching
) -> None:
    (first,) = uploads.versions([b"version one"])
    document = org.state("ContentVersion")[first]["ContentDocumentId"]
    (later,) = uploads.make("ContentVersion", [version("f.bin", b"version two", ContentDocumentId=document)])
    (attachment,) = uploads.attachments([bytes(range(256)) * 300])
    (folder,) = uploads.make("Folder", [{"Name": "f", "AccessType": "Public", "Type": "Document"}])
    (paper,) = uploads.make("Document", [{"Name": "paper", "FolderId": folder, "Body": text(b"paper" * 900)}])
    styles = {"Name": f"r{attachment}", "ContentType": "text/css", "CacheControl": "Public", "Body": text(b"a{}")}
    (resource,) = uploads.make("StaticResource", [styles])
    (log,) = uploads.platform("EventLogFile", {"EventType": "API"}, {"LogFile": b"a,b\n"})
    said = await fetching.run("ContentVersion", "Attachment", "Document", "StaticResource", "EventLogFile")
    assert said["missing"] == said["doubted"] == []
    cells = await fetching.cells()
    assert cells[first] == [cell(b"version one")]
    assert cells[later] == [cell(b"version two")]
    assert fetching.content(cells[paper][0]) == b"paper" * 900
    held = [("ContentVersion", "VersionData", first), ("ContentVersion", "VersionData", later),
            ("Attachment", "Body", attachment), ("Document", "Body", paper), ("StaticResource", "Body", resource),
            ("EventLogFile", "LogFile", log)]  # fmt: skip
    for object_name, field, record in held:
        assert mine(cells, [record]) == truth(org, object_name, field, [record]), object_name


TROUBLE: dict[str, dict[str, Any]] = {
    "500": {"status": 500},
    "unavailable": {"status": 404, "body": [{"errorCode": "SERVER_UNAVAILABLE", "message": "later"}]},
    "cut": {"close_after": 100_000},
    "too-short": {"truncate": 100_000},
    "reset": {"reset": True},
    "maintenance": {"html": True, "status": 200},
    "session": {"expire_sessions": True},
    # Of equal size: only a stated checksum tells, and Salesforce states none for attachments.
    "other-bytes": {"status": 200, "body": "y" * 300_000, "content_type": "application/octet-stream"},
}
CASES = [("ContentVersion", each) for each in TROUBLE] + [
    ("Attachment", each) for each in TROUBLE if each != "other-bytes"
]


@pytest.mark.parametrize(("object_name", "trouble"), CASES)
async def test_trouble_with_a_body_is_survived(
    org: RunningOrg, uploads: Uploads, fetching: Fetching, trouble: str, object_name: str
) -> None:
    effect = TROUBLE[trouble]
    content = hashlib.sha512(b"seed").digest() * 5_000  # 320,000 bytes
    ids = uploads.versions([content]) if object_name == "ContentVersion" else uploads.attachments([content])
    # A second session that is refused at once would concern the org, not the file.
    count = 1 if "expire_sessions" in effect else 2
    org.faults({"path": f"{ids[0]}/(VersionData|Body)", "count": count, "effect": effect})
    said = await fetching.run(object_name)
    assert said["missing"] == said["doubted"] == []
    cells = mine(await fetching.cells(), ids)
    assert cells == truth(org, object_name, "VersionData" if object_name == "ContentVersion" else "Body", ids)
    assert fetching.content(cells[ids[0]][0]) == content


async def test_a_cut_body_goes_on_where_it_was(org: RunningOrg, uploads: Uploads, fetching: Fetching) -> None:
    content = hashlib.sha512(b"long").digest() * 100_000  # 6.4 MB
    (record,) = uploads.versions([content])
    org.faults({"path": f"{record}/VersionData", "count": 1, "effect": {"close_after": 5_000_000}})
    await fetching.run("ContentVersion")
    assert (await fetching.cells())[record] == [cell(content)]
    used = await fetching.one.db.fetchval("SELECT bytes FROM file_source")
    assert used < len(content) + 4_000_000, "what had come was not fetched again"


async def test_a_body_that_is_replaced_while_it_comes_is_no_mixture(
    org: RunningOrg, uploads: Uploads, fetching: Fetching
) -> None:
    """Of equal size, and without a checksum: nothing would tell the end of one from the end of the other."""
    (record,) = uploads.attachments([b"old!" * 750_000])
    org.faults({"path": f"{record}/Body", "count": None, "effect": {"close_after": 2_000_000}})
    async with fetching.running():
        run_id = await fetching.one.request("Attachment")
        async with asyncio.timeout(20):
            while not await fetching.one.db.fetchval("SELECT count(*) FROM file WHERE failures > 0"):
                await asyncio.sleep(0.02)
        uploads.change("Attachment", record, {"Body": text(b"new!" * 750_000)})
        org.clear_faults()
        await fetching.settled(run_id)
    assert (await fetching.cells())[record] == [cell(b"new!" * 750_000)]


@pytest.mark.parametrize(
    ("object_name", "effect", "words"),
    [
        ("ContentVersion", {"status": 200, "body": "lies", "content_type": "text/plain"}, "states the MD5"),
        ("Attachment", {"status": 403, "body": [{"errorCode": "INSUFFICIENT_ACCESS", "message": "no"}]}, ""),
        ("Attachment", {"status": 404, "body": [{"errorCode": "NOT_FOUND", "message": "no"}]}, "deleted before"),
    ],
    ids=["lying", "forbidden", "gone"],
)
async def test_what_cannot_be_read_is_listed_and_tried_again_by_the_next_run(
    org: RunningOrg, uploads: Uploads, fetching: Fetching, object_name: str, effect: dict[str, Any], words: str
) -> None:
    content = b"the truth"
    ids = uploads.versions([content, b"other"]) if object_name == "ContentVersion" else uploads.attachments([content])
    org.faults({"path": f"{ids[0]}/(VersionData|Body)", "count": None, "effect": effect})
    async with fetching.running():
        run_id = await fetching.one.request(object_name)
        await fetching.one.finished(run_id)
        said = await fetching.settled(run_id)
        assert said["failed"] == 1
        assert said["stored"] == said["files"] - 1
        assert ids[0] in said["missing"][0]
        assert words in said["missing"][0]
        assert ids[0] not in await fetching.cells()
        org.clear_faults()
        await fetching.one.request(object_name)
        async with asyncio.timeout(20):
            while (again := (await fetching.said(run_id))[-1])["failed"]:
                await asyncio.sleep(0.05)
    assert again["missing"] == []
    assert (await fetching.cells(run_id))[ids[0]] == [cell(content)]


async def test_a_size_that_is_stated_wrongly_again_and_again_is_doubted_and_kept(
    org: RunningOrg, uploads: Uploads, fetching: Fetching
) -> None:
    (record,) = uploads.attachments([b"ten bytes!"])
    body = {"status": 200, "body": "more than ten bytes", "content_type": "application/octet-stream"}
    org.faults({"path": f"{record}/Body", "count": None, "effect": body})
    said = await fetching.run("Attachment")
    assert said["missing"] == []
    assert "states 10 bytes, and sends 19" in said["doubted"][0]
    assert (await fetching.cells())[record] == [cell(b"more than ten bytes")]


async def test_a_new_run_of_the_org_comes_first(org: RunningOrg, uploads: Uploads, fetching: Fetching) -> None:
    contents = [hashlib.sha512(b"%d" % n).digest() * 50_000 for n in range(3)]
    ids = uploads.versions(contents)
    org.faults(
        {"path": "ContentVersion/.*/VersionData", "count": 2, "effect": {"drip": {"bytes": 100_000, "every_s": 0.1}}}
    )
    async with fetching.running():
        first = await fetching.one.request("ContentVersion")
        await fetching.one.finished(first)
        async with asyncio.timeout(3):
            while fetching.rooms.fetchers.busy < 2:
                await asyncio.sleep(0.02)
        org.faults({"path": "describe", "count": 1, "effect": {"latency_s": 3}})
        second = await fetching.one.request("Account")
        async with asyncio.timeout(3):
            while fetching.rooms.fetchers.busy:
                await asyncio.sleep(0.05)
        assert not await fetching.said(first)
        await fetching.one.finished(second)
        said = await fetching.settled(first)
    assert said["missing"] == []
    assert mine(await fetching.cells(), ids) == truth(org, "ContentVersion", "VersionData", ids)


async def test_a_used_up_limit_is_waited_for(org: RunningOrg, uploads: Uploads, fetching: Fetching) -> None:
    (record,) = uploads.attachments([b"patience"])
    refusal = [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}]
    org.faults({"path": f"{record}/Body", "count": 1, "effect": {"status": 403, "body": refusal}})
    async with fetching.running():
        run_id = await fetching.one.request("Attachment")
        await fetching.one.finished(run_id)
        async with asyncio.timeout(10):
            while not await fetching.one.db.fetchval("SELECT not_before FROM file_source"):
                await asyncio.sleep(0.05)
        assert await fetching.one.db.fetchval("SELECT count(*) FROM file WHERE state = 'failed'") == 0
        await fetching.one.db.fetch("UPDATE file_source SET not_before = NULL")  # the limit has reset
        assert (await fetching.settled(run_id))["missing"] == []


async def test_the_daily_quota_ends_the_day(org: RunningOrg, uploads: Uploads, harness: Make) -> None:
    uploads.versions([b"a", b"b", b"c", b"d"])
    fetching = Fetching(harness(**QUICK, extractor_files_a_day=2, extractor_files_at_once=1))
    async with fetching.running():
        run_id = await fetching.one.request("ContentVersion")
        await fetching.one.finished(run_id)
        async with asyncio.timeout(10):
            while await fetching.one.db.fetchval("SELECT count(*) FROM file WHERE state <> 'waiting'") < 2:
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        assert await fetching.one.db.fetchval("SELECT calls FROM file_source") == 2
        assert not await fetching.said(run_id)
        await fetching.one.db.fetch("UPDATE file_source SET day = day - 1")
        async with asyncio.timeout(10):
            while await fetching.one.db.fetchval("SELECT count(*) FROM file WHERE state <> 'waiting'") < 4:
                await asyncio.sleep(0.05)


async def test_a_deleted_record_and_a_replaced_body_are_said_to_be_missing(
    org: RunningOrg, uploads: Uploads, fetching: Fetching
) -> None:
    replaced, deleted = uploads.attachments([b"old body", b"soon gone"])
    run_id = await fetching.one.request("Attachment")
    async with fetching.one.running():  # no file is fetched yet
        await fetching.one.finished(run_id)
        await asyncio.to_thread(org.advance, 1)
        uploads.change("Attachment", replaced, {"Body": "bmV3IGJvZHk="})
        uploads.delete("Attachment", deleted)
        later = await fetching.one.request("Attachment")
        await fetching.one.finished(later)
    async with fetching.running():
        said = await fetching.settled(run_id)
        await fetching.settled(later)
    assert sorted("replaced" in sentence for sentence in said["missing"]) == [False, True]
    assert (await fetching.cells())[replaced] == [cell(b"new body")]


@pytest.fixture
def frozen_clock(org: RunningOrg) -> Iterator[None]:
    org.set_clock(org.now(), frozen=True)
    yield
    org.set_clock(org.now())


@pytest.mark.usefixtures("frozen_clock")
@pytest.mark.parametrize("fetched", [True, False])
async def test_a_body_that_was_replaced_within_the_second_of_its_stamp_is_fetched_again(
    fetched: bool, org: RunningOrg, uploads: Uploads, fetching: Fetching
) -> None:
    (record,) = uploads.attachments([b"first"])
    stamp = org.state("Attachment")[record]["SystemModstamp"]
    run_id = await fetching.one.request("Attachment")
    async with fetching.running() if fetched else fetching.one.running():
        await fetching.one.finished(run_id)
        if fetched:
            await fetching.settled(run_id)
        uploads.change("Attachment", record, {"Body": text(b"the second one")})
        assert org.state("Attachment")[record]["SystemModstamp"] == stamp
        await fetching.one.finished(await fetching.one.request("Attachment"))
    async with fetching.running(), asyncio.timeout(20):
        while len(said := await fetching.said(run_id)) < 1 + fetched:
            await asyncio.sleep(0.05)
    assert said[-1]["files"] == said[0]["files"] == said[-1]["stored"]
    assert said[-1]["bytes"] - said[0]["bytes"] == (len(b"the second one") - len(b"first")) * fetched
    assert said[-1]["missing"] == said[-1]["doubted"] == []
    assert (await fetching.cells())[record] == [cell(b"first")] * fetched + [cell(b"the second one")]
