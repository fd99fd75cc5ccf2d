"""Objects that Salesforce only answers for by parent or by value: read whole, resumed, deleted rows included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from holdfast.extractor.leased_rows import RunRows, TaskRows
from holdfast.orgsim.testing import RunningOrg, start_org
from holdfast.salesforce.client import SalesforceClient
from holdfast.salesforce.errors import refusal
from holdfast.salesforce.models import RestPage

pytestmark = pytest.mark.integration
Make = Callable[..., Any]
LEASE = timedelta(seconds=30)


@pytest.fixture(scope="module")
def one_org() -> Iterator[RunningOrg]:
    """An org of its own: permissions are taken away."""
    with start_org() as running:
        yield running


@pytest.fixture
def without_query_all_files(org: RunningOrg) -> Iterator[None]:
    org.permit(permissions={"QueryAllFiles": False})
    yield
    org.permit(permissions={"QueryAllFiles": True})


def files(org: RunningOrg, documents: int, links_each: int) -> list[str]:
    accounts = org.define("Account", [], [{"Name": f"Acme {n}"} for n in range(links_each)])
    made = org.define("ContentDocument", [], [{"Title": f"File {n}"} for n in range(documents)])
    links = [{"ContentDocumentId": d, "LinkedEntityId": a, "ShareType": "V"} for d in made for a in accounts]
    return org.define("ContentDocumentLink", [], links)


def ids(one: Any, events: list[tuple[str, dict[str, Any]]]) -> list[str]:
    pages = [body for what, body in events if what == "page.staged"]
    tables = [pq.read_table(one.objects.local_path(page["path"])) for page in pages]
    return [record for table in tables for record in table["_record_id"].to_pylist()]


def extracted(events: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    (body,) = [body for what, body in events if what == "object.extracted"]
    return body


async def test_links_are_read_without_a_filter_where_the_user_may(org: RunningOrg, harness: Make) -> None:
    files(org, 3, 2)
    one = harness()
    events = await one.run("ContentDocumentLink")
    assert sorted(ids(one, events)) == sorted(org.state("ContentDocumentLink"))
    assert extracted(events)["api_calls"] <= 2


async def test_links_are_read_by_document_where_the_user_may_not(
    org: RunningOrg, harness: Make, without_query_all_files: None
) -> None:
    files(org, 450, 6)
    one = harness()
    events = await one.run("ContentDocumentLink")
    read = ids(one, events)
    everything = org.state("ContentDocumentLink")
    assert set(read) == set(everything)
    assert len(read) == len(everything)
    # The unfiltered try, the documents, three groups of 200 in one composite call, and what the org counts after.
    assert extracted(events)["api_calls"] <= 6


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (400, "EXCEEDED_ID_LIMIT", "cannot specify more than 30 ids"),
        (400, "QUERY_TOO_COMPLICATED", "Query is either selecting too many fields or the filter is too complicated."),
        (400, "QUERY_TIMEOUT", "Your query request was running for too long."),
        (400, "MALFORMED_QUERY", "SOQL statements cannot be longer than 100000 characters."),
        (400, "MALFORMED_QUERY", "The list of ids is too long."),
        (414, "", "URI Too Long"),
        (431, "", "Request Header Fields Too Large"),
    ],
)
async def test_parents_that_are_too_many_for_one_query_are_halved(
    org: RunningOrg,
    harness: Make,
    without_query_all_files: None,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    code: str,
    message: str,
) -> None:
    files(org, 120, 2)
    real = SalesforceClient.composite
    refused: list[int] = []

    async def strict(self: SalesforceClient, parts: Any) -> Any:
        """The org, were it to take at most 30 ids in a query."""
        answers = list(await real(self, parts))
        for number, part in enumerate(parts):
            asked = unquote(part.path).partition(" IN (")[2].count(",") + 1
            if asked > 30:
                refused.append(asked)
                answers[number] = refusal(status, code, message)
        return answers

    monkeypatch.setattr(SalesforceClient, "composite", strict)
    one = harness()
    events = await one.run("ContentDocumentLink")
    read = ids(one, events)
    assert refused and set(read) == set(org.state("ContentDocumentLink")) and len(read) == len(set(read))


async def test_a_walk_goes_on_behind_the_last_durable_parent(
    org: RunningOrg, harness: Make, without_query_all_files: None
) -> None:
    files(org, 2500, 3)
    one = harness(extractor_retry_first=0.05)
    org.reset_calls()
    body = [{"errorCode": "QUERY_TIMEOUT", "message": "Your query request was running for too long."}]
    effect = {"status": 400, "body": body}
    org.faults({"method": "POST", "path": "/composite", "skip": 2, "count": 1, "effect": effect})
    events = await one.run("ContentDocumentLink")
    assert org.faults()[0]["applied"] > 0
    read = ids(one, events)
    assert set(read) == set(org.state("ContentDocumentLink"))
    assert len(read) == len(set(read))  # parents whose records were durable were not asked again


async def test_parents_that_come_in_small_pages_are_all_walked(
    org: RunningOrg, harness: Make, without_query_all_files: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Salesforce makes pages as small as it likes: a page that is not full is not the last one for that."""
    files(org, 450, 1)
    real = SalesforceClient.query
    left: list[str] = []

    async def in_small_pages(self: SalesforceClient, soql: str, **options: Any) -> Any:
        page = await real(self, soql, **options)
        if " FROM ContentDocument " not in f"{soql} ":
            return page
        left[:] = page.table["Id"].to_pylist()[200:]
        return replace(page, table=page.table.slice(0, 200), next_url="/services/data/v62.0/query/0r8more-200")

    async def more(self: SalesforceClient, url: str, fields: Any) -> Any:
        return RestPage(pa.table({"Id": left}), 450, None)

    monkeypatch.setattr(SalesforceClient, "query", in_small_pages)
    monkeypatch.setattr(SalesforceClient, "query_more", more)
    one = harness()
    events = await one.run("ContentDocumentLink")
    assert set(ids(one, events)) == set(org.state("ContentDocumentLink"))


@pytest.mark.parametrize("what", ["parents", "links"])
async def test_an_answer_of_a_walk_that_is_short_of_its_promise_is_not_believed(
    org: RunningOrg, harness: Make, without_query_all_files: None, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Nobody counts these objects afterwards: what is missing here would be missed for good, and in silence."""
    files(org, 30, 2)
    method = "query" if what == "parents" else "composite"
    real = getattr(SalesforceClient, method)
    cut: list[str] = []

    async def short(self: SalesforceClient, *asked: Any, **options: Any) -> Any:
        answer = await real(self, *asked, **options)
        if cut or (what == "parents" and "FROM ContentDocument " not in f"{asked[0]} "):
            return answer
        page = answer[0] if what == "links" else answer
        if not isinstance(page, RestPage) or page.table.num_rows < 30:
            return answer
        cut.append(what)
        page = replace(page, table=page.table.slice(0, page.table.num_rows - 1))
        return [page, *answer[1:]] if what == "links" else page

    monkeypatch.setattr(SalesforceClient, method, short)
    one = harness(extractor_retry_first=0.05)
    events = await one.run("ContentDocumentLink")
    assert cut
    assert set(ids(one, events)) == set(org.state("ContentDocumentLink"))


async def test_deleted_links_come_with_the_next_run(
    org: RunningOrg, harness: Make, without_query_all_files: None
) -> None:
    made = files(org, 2, 2)
    one = harness()
    await one.run("ContentDocumentLink")
    with httpx.Client(base_url=org.url, headers={"Authorization": f"Bearer {org.token()}"}) as client:
        client.delete(f"/services/data/v62.0/sobjects/ContentDocumentLink/{made[0]}").raise_for_status()
    events = await one.run("ContentDocumentLink")
    assert extracted(events)["mode"] == "incremental"
    pages = [body for what, body in events if what == "page.staged"]
    rows = [row for page in pages for row in pq.read_table(one.objects.local_path(page["path"])).to_pylist()]
    assert [row["_record_id"] for row in rows if row["IsDeleted"] == "true"] == [made[0]]


@pytest.mark.parametrize(
    ("name", "parent", "field"),
    [
        ("IdeaComment", "Idea", "IdeaId"),
        ("ContentFolderMember", "ContentFolder", "ParentContentFolderId"),
        ("CollaborationGroupRecord", "CollaborationGroup", "CollaborationGroupId"),
        ("Announcement", "CollaborationGroup", "ParentId"),
    ],
)
async def test_kin_of_links_are_walked_by_their_parents(
    org: RunningOrg, harness: Make, name: str, parent: str, field: str
) -> None:
    org.schema({"objects": [
        {"name": parent},
        {"name": name, "fields": [{"name": field, "type": "reference", "referenceTo": parent}]},
    ]})  # fmt: skip
    parents = org.define(parent, [], [{"Name": f"{parent} {n}"} for n in range(12)])
    org.define(name, [], [{"Name": "x", field: one} for one in parents for _ in range(3)])
    one = harness()
    events = await one.run(name)
    assert sorted(ids(one, events)) == sorted(org.state(name))
    assert len(ids(one, events)) == 36


async def test_votes_on_anything_are_read(org: RunningOrg, harness: Make) -> None:
    voted = {"Idea": "Title", "IdeaComment": "CommentBody", "Solution": "SolutionName"}
    org.schema({"objects": [
        *({"name": name, "fields": [{"name": title, "type": "string"}]} for name, title in voted.items()),
        {"name": "Vote", "fields": [{"name": "ParentId", "type": "reference", "referenceTo": list(voted)}]},
    ]})  # fmt: skip
    parents = [
        one for name, title in voted.items() for one in org.define(name, [], [{title: str(n)} for n in range(3)])
    ]
    org.define("Vote", [], [{"Name": "x", "ParentId": one} for one in parents])
    one = harness()
    events = await one.run("Vote")
    assert sorted(ids(one, events)) == sorted(org.state("Vote"))
    assert len(ids(one, events)) == 9


async def test_articles_are_read_by_the_state_of_publication(org: RunningOrg, harness: Make) -> None:
    org.schema({"objects": [
        {"name": "Knowledge__kav", "fields": [
            {"name": "PublishStatus", "type": "picklist", "picklistValues": ["Draft", "Online", "Archived"]}
        ]}
    ]})  # fmt: skip
    states = ["Draft", "Online", "Archived", "Online"]
    made = org.define("Knowledge__kav", [], [{"Name": f"A{n}", "PublishStatus": s} for n, s in enumerate(states)])
    one = harness()
    events = await one.run("Knowledge__kav")
    assert sorted(ids(one, events)) == sorted(made)


async def test_a_link_of_a_parent_whose_turn_was_over_comes_with_the_next_run(
    org: RunningOrg, harness: Make, without_query_all_files: None
) -> None:
    files(org, 2500, 3)
    documents, account = sorted(org.state("ContentDocument")), org.define("Account", [], [{"Name": "New"}])[0]
    one = harness()
    run_id = await one.request("ContentDocumentLink")
    await one.planner.plan(await RunRows(one.db, "test", LEASE).claim())
    body = [{"errorCode": "SERVER_UNAVAILABLE", "message": "Later."}]
    effect = {"status": 503, "body": body}
    org.faults({"method": "POST", "path": "/composite", "skip": 2, "count": None, "effect": effect})
    await one.read(await TaskRows(one.db, "test", LEASE).claim())
    assert await one.db.fetchval("SELECT count(*) FROM page") > 0, "some parents are behind it"
    org.clear_faults()

    def link(document: str) -> str:
        values = {"ContentDocumentId": document, "LinkedEntityId": account, "ShareType": "I"}
        with httpx.Client(base_url=org.url, headers={"Authorization": f"Bearer {org.token()}"}) as client:
            answer = client.post("/services/data/v62.0/sobjects/ContentDocumentLink", json=values)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    early = link(documents[0])
    org.advance(3 * 3600)
    late = link(documents[-1])
    async with one.running():
        first = await one.finished(run_id)
    assert late in ids(one, first) and early not in ids(one, first)
    assert early in ids(one, await one.run("ContentDocumentLink"))
