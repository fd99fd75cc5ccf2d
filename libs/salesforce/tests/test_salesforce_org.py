"""The client against an org in its own process: what comes back, and what a fault on the way does."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from holdfast.common.clock import SystemClock
from holdfast.common.errors import Kind
from holdfast.orgsim.testing import RunningOrg, start_org
from holdfast.salesforce.auth import ClientCredentials, sign_in
from holdfast.salesforce.calls import Retries
from holdfast.salesforce.client import SalesforceClient
from holdfast.salesforce.composite import Part, count_part, describe_part, query_part
from holdfast.salesforce.definitions import data_objects, field_ids, still_defined
from holdfast.salesforce.errors import SalesforceError
from holdfast.salesforce.models import Access, Describe, JobInfo, NotModified, RestPage
from holdfast.salesforce.rows import parse_csv
from holdfast.salesforce.transport import open_http
from holdfast.salesforce.usage import Usage

pytestmark = pytest.mark.integration

FIELDS = [
    {"name": "Text__c", "type": "textarea", "length": 4000},
    {"name": "Amount__c", "type": "double", "precision": 18, "scale": 4},
    {"name": "Flag__c", "type": "boolean"},
]
TEXTS = ["NA", "null", "00123", "1e3", 'say "hi"', "a,b", "x\ny", "🎉", "=1+1", "", None]
ROWS = [{"Name": f"row {n}", "Text__c": text, "Amount__c": "12345678901234.5", "Flag__c": n % 2 == 0}
        for n, text in enumerate(TEXTS)]  # fmt: skip
SELECT = "SELECT Id, Name, Text__c, Amount__c, Flag__c FROM Sample__c"
COLUMNS = ["Id", "Name", "Text__c", "Amount__c", "Flag__c"]


@dataclass
class Door:
    """Signs in to the org, once per refused token."""

    http: httpx.AsyncClient
    org: RunningOrg
    held: Access | None = None
    sign_ins: int = 0

    def __post_init__(self) -> None:
        self._one_at_a_time = asyncio.Lock()

    async def access(self, refused: str | None = None) -> Access:
        async with self._one_at_a_time:
            if self.held is None or self.held.access_token == refused:
                grant = ClientCredentials(self.org.url, self.org.client_id, self.org.client_secret)
                token = await sign_in(self.http, grant, now=datetime.now(UTC), allow_insecure=True)
                self.held = Access(token.instance_url, token.access_token, token.organization_id)
                self.sign_ins += 1
            return self.held


@dataclass
class Observer:
    calls: int = 0
    last: Usage | None = None

    def called(self, method: str, route: str, usage: Usage | None) -> None:
        self.calls += 1
        self.last = usage or self.last


@dataclass
class World:
    """A client, the org, and what the client told of its calls."""

    client: SalesforceClient
    org: RunningOrg
    door: Door
    observer: Observer

    async def finished_job(self, soql: str = SELECT) -> JobInfo:
        job = await self.client.create_query_job(soql, all_rows=True)
        async with asyncio.timeout(20):
            while job.state in ("UploadComplete", "InProgress"):
                await asyncio.sleep(0.05)
                job = await self.client.get_query_job(job.id)
        assert job.state == "JobComplete"
        return job


@pytest.fixture(scope="module")
def served() -> Iterator[RunningOrg]:
    with start_org() as org:
        org.define("Sample__c", FIELDS, ROWS)
        yield org


@contextlib.asynccontextmanager
async def opened(org: RunningOrg, concurrency: int = 8) -> AsyncIterator[World]:
    async with open_http() as http:
        door, observer = Door(http, org), Observer()
        client = SalesforceClient(
            door,
            observer=observer,
            clock=SystemClock(),
            http=http,
            concurrency=concurrency,
            retries=Retries(attempts=3, base=timedelta(milliseconds=10), cap=timedelta(milliseconds=20)),
            allow_insecure=True,
        )
        yield World(client, org, door, observer)


@pytest.fixture
async def world(served: RunningOrg) -> AsyncIterator[World]:
    async with opened(served) as made:
        yield made
        served.clear_faults()


def by_name(table: object) -> list[dict[str, str | None]]:
    return sorted(table.to_pylist(), key=lambda row: int(row["Name"].split()[1]))  # type: ignore[attr-defined]


async def test_rest_and_bulk_bring_the_same_texts(world: World) -> None:
    rest = by_name((await world.client.query(SELECT, all_rows=True, fields=COLUMNS)).table)
    page = await world.client.download_page((await world.finished_job()).id)
    bulk = by_name(parse_csv(page.body, page.rows_promised))
    assert [row["Text__c"] for row in rest] == [text or None for text in TEXTS]
    assert rest[0]["Amount__c"] == "12345678901234.5"
    assert [row["Flag__c"] for row in rest[:2]] == ["true", "false"]
    assert rest == bulk


async def test_bulk_result_comes_in_pages_that_can_be_fetched_again(world: World) -> None:
    job = await world.finished_job()
    ids: list[str] = []
    locator: str | None = None
    while True:
        page = await world.client.download_page(job.id, locator, max_records=4)
        again = await world.client.download_page(job.id, locator, max_records=4)
        assert bytes(page.body) == bytes(again.body)
        ids += parse_csv(page.body, page.rows_promised)["Id"].to_pylist()
        if page.next_locator is None:
            break
        locator = page.next_locator
    assert len(ids) == len(set(ids)) == len(TEXTS)
    await world.client.delete_query_job(job.id)
    await world.client.delete_query_job(job.id)


async def test_every_call_is_counted_as_the_org_counts(world: World) -> None:
    await world.client.limits()
    world.org.reset_calls()
    world.observer.calls = 0
    await world.client.query(SELECT, all_rows=True)
    await world.client.describe("Sample__c")
    await world.client.record_counts(["Sample__c"])
    assert world.observer.calls == world.org.calls()["total"] == 3
    assert world.observer.last is not None
    assert world.observer.last.used_calls >= 3


async def test_describe_and_its_tag(world: World) -> None:
    described = await world.client.describe("Sample__c")
    assert isinstance(described, Describe)
    types = {field.name: field.type for field in described.fields}
    assert (types["Id"], types["Amount__c"], types["Flag__c"]) == ("id", "double", "boolean")
    assert described.etag is not None
    assert isinstance(await world.client.describe("Sample__c", described.etag), NotModified)
    assert "Sample__c" in {summary.name for summary in await world.client.describe_global()}


async def test_counts(world: World) -> None:
    assert await world.client.count("SELECT COUNT() FROM Sample__c") == len(TEXTS)
    assert (await world.client.record_counts(["Sample__c"])) == {"Sample__c": len(TEXTS)}


async def test_identity(world: World) -> None:
    user = await world.client.user_info()
    assert (user.organization_id, user.preferred_username) == (world.org.org_id, world.org.username)
    assert {version.version for version in await world.client.versions()} >= {"58.0", "62.0"}


async def test_token_that_ends_in_the_middle_is_renewed_once(world: World) -> None:
    await world.client.query(SELECT, all_rows=True)
    world.org.expire_sessions()
    pages = await asyncio.gather(*(world.client.query(SELECT, all_rows=True) for _ in range(6)))
    assert {page.table.num_rows for page in pages} == {len(TEXTS)}
    assert world.door.sign_ins == 2


@pytest.mark.parametrize(
    "effect",
    [
        {"status": 503, "body": [{"errorCode": "SERVER_UNAVAILABLE", "message": "busy"}]},
        {"html": True, "status": 200},
        {"html": True},
        {"reset": True},
        {"close_after": 40},
    ],
    ids=str,
)
async def test_trouble_on_the_way_is_waited_out(world: World, effect: dict[str, object]) -> None:
    job = await world.finished_job()
    for path in ("/queryAll", "/results"):
        world.org.faults({"method": "GET", "path": path, "count": 2, "effect": effect})
    rest = await world.client.query(SELECT, all_rows=True)
    page = await world.client.download_page(job.id)
    assert rest.table.num_rows == parse_csv(page.body, page.rows_promised).num_rows == len(TEXTS)
    assert [fault["applied"] for fault in world.org.faults()] == [2, 2]


async def test_page_cut_to_a_valid_length_is_noticed(world: World) -> None:
    job = await world.finished_job()
    whole = bytes((await world.client.download_page(job.id)).body)
    world.org.faults({"path": "/results", "count": 1, "effect": {"truncate": whole.rindex(b"\n", 0, -1) + 1}})
    page = await world.client.download_page(job.id)
    with pytest.raises(SalesforceError) as caught:
        parse_csv(page.body, page.rows_promised)
    assert (caught.value.kind, caught.value.code) == (Kind.UNAVAILABLE, "page-cut")


async def test_rest_page_cut_to_a_valid_length_is_fetched_again(world: World) -> None:
    world.org.faults({"path": "/queryAll", "count": 1, "effect": {"truncate": 300}})
    assert (await world.client.query(SELECT, all_rows=True)).table.num_rows == len(TEXTS)


async def test_refusals_say_what_is_wrong(world: World) -> None:
    for soql, kind in (
        ("SELECT Id FROM Nothing__c", Kind.NOT_FOUND),
        ("SELECT Nothing__c FROM Sample__c", Kind.INVALID),
        ("SELECT", Kind.INVALID),
    ):
        with pytest.raises(SalesforceError) as caught:
            await world.client.query(soql, all_rows=True)
        assert caught.value.kind is kind
    with pytest.raises(SalesforceError) as caught:
        await world.client.get_query_job("750000000000000AAA")
    assert caught.value.kind is Kind.NOT_FOUND
    with pytest.raises(SalesforceError) as caught:
        await world.client.query_more("/services/data/v62.0/query/0r8000000000000AAA-2000")
    assert caught.value.kind in (Kind.NOT_FOUND, Kind.INVALID)


async def test_daily_limit_is_told_apart(world: World) -> None:
    before = world.org.limits()
    try:
        world.org.limits(used=before["max"])
        with pytest.raises(SalesforceError) as caught:
            await world.client.query(SELECT, all_rows=True)
    finally:
        world.org.limits(used=0)
    assert caught.value.kind is Kind.LIMIT
    assert caught.value.retry_after == timedelta(minutes=15)
    assert world.observer.calls == 1


async def test_delete_log(world: World) -> None:
    now = datetime.fromisoformat(world.org.now())
    deleted = await world.client.get_deleted("Sample__c", now - timedelta(hours=1), now)
    updated = await world.client.get_updated("Sample__c", now - timedelta(hours=1), now + timedelta(minutes=2))
    assert deleted.deleted_records == ()
    assert len(updated.ids) <= len(TEXTS)


async def test_org_name_and_permissions_where_the_org_tells(world: World) -> None:
    organization = await world.client.organization()
    assert organization.name and organization.developer
    permissions = await world.client.permissions((await world.client.user_info()).user_id)
    assert permissions.modify_all_data in (None, True, False)


async def test_many_describes_queries_and_counts_cost_a_call_per_25_or_per_five_queries(world: World) -> None:
    tag = (await world.client.describe("Sample__c")).etag
    world.org.reset_calls()
    parts: list[Part[object]] = [describe_part("Sample__c", tag), describe_part("Account"), describe_part("Nope__c")]
    parts += [count_part("SELECT COUNT() FROM Sample__c") for _ in range(5)]
    parts += [query_part(SELECT, all_rows=True, fields=COLUMNS), query_part("SELECT Nope FROM Account", all_rows=True)]
    same, account, unknown, *counts, page, refused = await world.client.composite(parts)

    assert world.org.calls()["total"] == 2
    assert same == NotModified(tag or "")
    assert isinstance(account, Describe)
    alone = await world.client.describe("Account")
    assert account == alone
    assert counts == [len(TEXTS)] * 5
    assert isinstance(page, RestPage)
    assert by_name(page.table) == by_name((await world.client.query(SELECT, all_rows=True, fields=COLUMNS)).table)
    assert isinstance(unknown, SalesforceError) and unknown.kind is Kind.NOT_FOUND
    assert isinstance(refused, SalesforceError) and refused.error_code == "INVALID_FIELD"


async def test_a_query_that_no_url_can_hold_is_answered_within_a_composite_call(world: World) -> None:
    names = ", ".join(["'" + "x" * 90 + str(n) + "'" for n in range(300)])
    query = f"SELECT Id FROM Sample__c WHERE Name IN ('row 1', {names})"
    with pytest.raises(SalesforceError) as caught:
        await world.client.query(query, all_rows=True)
    assert caught.value.code == "query-too-long"
    (page,) = await world.client.composite([query_part(query, all_rows=True)])
    assert isinstance(page, RestPage) and page.total_size == 1


async def test_a_composite_answer_that_leaves_a_part_out_is_asked_for_again(world: World) -> None:
    body = '{"compositeResponse":[]}'
    effect = {"status": 200, "body": body, "content_type": "application/json"}
    world.org.faults({"path": "/composite", "effect": effect})
    assert await world.client.composite([count_part("SELECT COUNT() FROM Sample__c")]) == [len(TEXTS)]


async def test_definitions_tell_of_what_the_user_cannot_see(world: World) -> None:
    world.org.restrict(hidden_fields=["Sample__c.Flag__c"])
    try:
        told = await field_ids(world.client, ["sample__c", "Account"])
        described = await world.client.describe("Sample__c")
    finally:
        world.org.restrict()
    assert isinstance(described, Describe) and "Flag__c" not in {field.name for field in described.fields}
    assert told is not None and {"Id", "Flag__c"} <= told["sample__c"].keys() and "Industry" in told["Account"]
    assert world.observer.calls == 2
    assert await still_defined(world.client, ["SAMPLE__C", "Nope__c"]) == {"sample__c"}
    everything = await data_objects(world.client)
    assert everything is not None and {"Sample__c", "Account"} <= everything


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (400, "MALFORMED_QUERY", "SOQL statements cannot be longer than 100000 characters."),
        (400, "EXCEEDED_ID_LIMIT", "cannot specify more than 2000 ids"),
    ],
)
async def test_definitions_that_are_too_many_for_one_query_are_asked_for_in_halves(
    world: World, status: int, code: str, message: str
) -> None:
    refused = {"status": status, "body": [{"errorCode": code, "message": message}]}
    world.org.faults({"path": "/tooling/query", "count": 1, "effect": refused})
    told = await field_ids(world.client, ["Sample__c", "Account"])
    assert told is not None and told["Sample__c"] and told["Account"]


async def test_definitions_are_not_told_without_the_setup(world: World) -> None:
    world.org.permit(permissions={"ViewSetup": False})
    try:
        assert await field_ids(world.client, ["Sample__c"]) is None
        assert await still_defined(world.client, ["Sample__c"]) is None
        assert await data_objects(world.client) is None
    finally:
        world.org.permit(permissions={"ViewSetup": True})


async def test_whatever_is_asked_when_a_version_is_retired_is_answered_in_a_newer_one() -> None:
    with start_org(extra=["--bulk-page-bytes", "1000"]) as org:
        org.define("Sample__c", FIELDS, [{"Name": f"row {n}"} for n in range(2500)])
        async with opened(org, concurrency=1) as old:
            job = await old.finished_job()
            listed = await old.client.result_pages(job.id)
            first = await old.client.query("SELECT Id FROM Sample__c", all_rows=True)
            assert first.next_url is not None and listed.following is not None
            now = datetime.now(UTC)
            body = base64.b64encode(b"content").decode()
            version = {"Title": "f", "PathOnClient": "f.bin", "VersionData": body}
            headers = {"Authorization": f"Bearer {org.token()}"}
            made = await old.client._http.post(
                f"{org.url}/services/data/v62.0/sobjects/ContentVersion", json=version, headers=headers
            )
            file_id = made.raise_for_status().json()["id"]
            org.faults({"path": "/limits", "count": 1, "effect": {"retire_versions_below": 64}})
            assert "DailyApiRequests" in await old.client.limits()
            assert all(fault["applied"] for fault in org.faults())
            assert (old.client.retired, old.client.api_version) == ("62.0", "66.0")

        async def file(world: World) -> bytes:
            async with world.client.file_body("ContentVersion", file_id, "VersionData") as found:
                return b"".join([piece async for piece in found.pieces])

        count = count_part("SELECT COUNT() FROM Sample__c")
        questions: dict[str, Callable[[World], Awaitable[object]]] = {
            "objects": lambda world: world.client.describe_global(),
            "describe": lambda world: world.client.describe("Sample__c"),
            "cached counts": lambda world: world.client.record_counts(),
            "query": lambda world: world.client.query(SELECT, all_rows=True),
            "the next page of a query": lambda world: world.client.query_more(first.next_url or ""),
            "questions together": lambda world: world.client.composite([count, describe_part("Sample__c", None)]),
            "deletions": lambda world: world.client.get_deleted("Sample__c", now - timedelta(days=1), now),
            "a new job": lambda world: world.finished_job(),
            "a job": lambda world: world.client.get_query_job(job.id),
            "all jobs": lambda world: world.client.list_query_jobs(),
            "a file": file,
        }
        for what, ask in questions.items():
            async with opened(org, concurrency=1) as world:
                answer = await ask(world)
                assert answer and world.client.retired == "62.0", what
                answers = answer if isinstance(answer, list) else []
                assert not [one for one in answers if isinstance(one, Exception)], what
        # Salesforce keeps to the version that a job was made in, so that its result is gone with it.
        pages: list[Callable[[World], Awaitable[object]]] = [
            lambda world: world.client.download_page(job.id),
            lambda world: world.client.download_from(job.id, listed.pages[0]),
            lambda world: world.client.result_pages(job.id, listed.following),
        ]
        for ask in pages:
            async with opened(org, concurrency=1) as world:
                with pytest.raises(SalesforceError, match="created with API version 62"):
                    await ask(world)
                assert world.client.retired == "62.0"


async def test_an_address_outside_its_job_is_not_followed_in_any_version(world: World) -> None:
    for address in (
        "/services/data/v62.0/jobs/query/750000000000002AAA/results",
        "/services/data/v62.0/query?q=x",
        "/services/data/vx/jobs/query/750000000000001AAA/results",
        "/services/data/v62.0/jobs/query/750000000000001AAA/../x",
        "/secur/frontdoor.jsp",
    ):
        with pytest.raises(SalesforceError) as caught:
            await world.client.download_from("750000000000001AAA", address)
        assert caught.value.code == "outside-api" or "outside" in caught.value.message, address
