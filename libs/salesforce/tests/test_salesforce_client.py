"""The client against an org that answers whatever a test wants, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpcore
import httpx
import pytest

from holdfast.common.clock import ManualClock
from holdfast.common.errors import HoldfastError, Kind
from holdfast.salesforce.client import MAX_QUERY_URL, SalesforceClient, query_url_length
from holdfast.salesforce.errors import RULES, STATUSES, VARIANTS, Retry, SalesforceError, refusal
from holdfast.salesforce.models import Access, Describe, NotModified
from holdfast.salesforce.transport import open_http
from holdfast.salesforce.usage import Usage, parse_usage

START = datetime(2026, 1, 1, tzinfo=UTC)
JSON = {"content-type": "application/json;charset=UTF-8"}
ROWS = '{"totalSize":1,"done":true,"records":[{"attributes":{},"Id":"001"}]}'

Step = httpx.Response | Exception


@dataclass
class Provider:
    tokens: list[str] = field(default_factory=lambda: ["one", "two", "three", "four"])
    refreshes: int = 0
    instance_url: str = "https://example.my.salesforce.com"

    async def access(self, refused: str | None = None) -> Access:
        if refused == self.tokens[0]:
            self.tokens.pop(0)
            self.refreshes += 1
        return Access(self.instance_url, self.tokens[0], "00D000000000001AAA")


@dataclass
class Observer:
    calls: list[tuple[str, str, Usage | None]] = field(default_factory=list)

    def called(self, method: str, route: str, usage: Usage | None) -> None:
        self.calls.append((method, route, usage))


class World:
    """A client, what it sent, and what it is told."""

    def __init__(self, *steps: Step | Callable[[httpx.Request], httpx.Response]) -> None:
        self.steps = list(steps)
        self.sent: list[httpx.Request] = []
        self.provider = Provider()
        self.observer = Observer()
        self.clock = ManualClock(START)
        http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        self.client = SalesforceClient(self.provider, observer=self.observer, clock=self.clock, http=http)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, Exception):
            raise step
        return step(request) if callable(step) else step


def rows(usage: str = "api-usage=18/5000") -> httpx.Response:
    return httpx.Response(200, headers={**JSON, "Sforce-Limit-Info": usage}, text=ROWS)


def no(status: int, code: str, message: str = "words") -> httpx.Response:
    return httpx.Response(status, headers=JSON, json=[{"message": message, "errorCode": code}])


async def failing(world: World) -> SalesforceError:
    with pytest.raises(SalesforceError) as caught:
        await world.client.query("SELECT Id FROM Account", all_rows=True)
    return caught.value


async def test_query_is_sent_as_asked_and_counted() -> None:
    world = World(rows())
    page = await world.client.query("SELECT Id FROM Account WHERE Name = 'a&b'", all_rows=True, batch_size=500)
    (request,) = world.sent
    assert page.table["Id"].to_pylist() == ["001"]
    assert request.url.path == "/services/data/v62.0/queryAll"
    assert request.url.params["q"] == "SELECT Id FROM Account WHERE Name = 'a&b'"
    assert request.headers["authorization"] == "Bearer one"
    assert request.headers["sforce-query-options"] == "batchSize=500"
    assert request.headers["accept-encoding"] == "gzip"
    assert world.observer.calls == [("GET", "queryAll", Usage(18, 5000))]


@pytest.mark.parametrize(
    "trouble",
    [
        no(503, "SERVER_UNAVAILABLE"),
        httpx.Response(502),
        httpx.Response(503, headers={"content-type": "text/html"}, text="<html>"),
        httpx.Response(504),
        httpx.Response(429),
        no(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded."),
        no(500, "UNKNOWN_EXCEPTION", "An unexpected error occurred. ErrorId: 1"),
        httpx.Response(200, headers={"content-type": "text/html"}, text="<html>Maintenance</html>"),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("peer closed connection without sending complete message body"),
    ],
    ids=repr,
)
async def test_passing_trouble_is_waited_out(trouble: Step) -> None:
    world = World(trouble, trouble, rows())
    page = await world.client.query("SELECT Id FROM Account", all_rows=True)
    assert page.table.num_rows == 1
    assert len(world.observer.calls) == 3
    assert timedelta(0) < world.clock.now() - START <= timedelta(seconds=3)


async def test_trouble_that_does_not_pass_is_told_after_a_bounded_time() -> None:
    world = World(httpx.Response(503))
    error = await failing(world)
    assert error.kind is Kind.UNAVAILABLE
    assert len(world.sent) == 6
    assert world.clock.now() - START <= timedelta(seconds=31)


async def test_maintenance_page_that_stays_is_told_as_such() -> None:
    world = World(httpx.Response(200, headers={"content-type": "text/html"}, text="<html>Maintenance</html>"))
    error = await failing(world)
    assert (error.kind, error.code) == (Kind.UNAVAILABLE, "answer-not-data")


async def test_unknown_error_500_is_tried_twice_more_only() -> None:
    world = World(no(500, "UNKNOWN_EXCEPTION"))
    assert (await failing(world)).kind is Kind.UNAVAILABLE
    assert len(world.sent) == 3


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (no(400, "MALFORMED_QUERY"), Kind.INVALID, "salesforce-malformed-query"),
        (no(400, "INVALID_FIELD"), Kind.INVALID, "salesforce-invalid-field"),
        (no(400, "INVALID_TYPE"), Kind.NOT_FOUND, "salesforce-invalid-type"),
        (no(400, "QUERY_TIMEOUT"), Kind.TIMEOUT, "salesforce-query-timeout"),
        (no(400, "INVALID_QUERY_LOCATOR"), Kind.NOT_FOUND, "salesforce-invalid-query-locator"),
        (no(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."), Kind.LIMIT, None),
        (no(403, "INSUFFICIENT_ACCESS"), Kind.FORBIDDEN, None),
        (no(403, "API_DISABLED_FOR_ORG"), Kind.FORBIDDEN, None),
        (no(404, "NOT_FOUND"), Kind.NOT_FOUND, None),
        (no(418, "SOMETHING_NEW"), Kind.INVALID, "salesforce-something-new"),
        (httpx.Response(414), Kind.TOO_LARGE, "salesforce-status-414"),
        (
            httpx.Response(302, headers={"location": "https://evil.test/"}),
            Kind.UNAVAILABLE,
            "redirect-refused",
        ),
    ],
    ids=repr,
)
async def test_lasting_refusals_are_not_repeated(answer: httpx.Response, kind: Kind, code: str | None) -> None:
    world = World(answer)
    error = await failing(world)
    assert error.kind is kind
    assert code is None or error.code == code
    assert len(world.sent) == 1


async def test_daily_limit_names_when_to_come_back() -> None:
    error = await failing(World(no(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")))
    assert error.retry is Retry.LATER
    assert error.retry_after == timedelta(minutes=15)


@pytest.mark.parametrize("ended", [1, 3])
async def test_a_session_that_ends_before_its_first_call_is_renewed_again(ended: int) -> None:
    """Whatever ended the one session may end the next one: another client that signs in, an admin, a release."""
    world = World(*[no(401, "INVALID_SESSION_ID", "Session expired or invalid")] * ended, rows())
    page = await world.client.query("SELECT Id FROM Account", all_rows=False)
    assert page.table.num_rows == 1
    assert (world.provider.refreshes, len(world.sent)) == (ended, ended + 1)


async def test_expired_session_is_renewed_once_for_all_callers() -> None:
    def by_token(request: httpx.Request) -> httpx.Response:
        fresh = request.headers["authorization"] == "Bearer two"
        return rows() if fresh else no(401, "INVALID_SESSION_ID", "Session expired or invalid")

    world = World(by_token)
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(world.client.query("SELECT Id FROM Account", all_rows=False))
    assert world.provider.refreshes == 1
    assert len(world.sent) <= 10


async def test_new_sessions_that_are_all_refused_are_final() -> None:
    world = World(no(401, "INVALID_SESSION_ID"))
    error = await failing(world)
    assert error.kind is Kind.INVALID
    assert world.provider.refreshes == 3
    assert len(world.sent) == 4


async def test_app_without_rest_access_is_not_signed_in_anew() -> None:
    world = World(no(401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API"))
    assert (await failing(world)).kind is Kind.FORBIDDEN
    assert world.provider.refreshes == 0


@pytest.mark.parametrize("url", ["https://evil.test", "http://example.my.salesforce.com", "http://127.0.0.1:1"])
async def test_token_goes_to_salesforce_only(url: str) -> None:
    world = World(rows())
    world.provider.instance_url = url
    with pytest.raises(HoldfastError) as caught:
        await world.client.query("SELECT Id FROM Account", all_rows=False)
    assert caught.value.code == "address-refused"
    assert world.sent == []


async def test_next_page_outside_the_api_is_refused() -> None:
    world = World(rows())
    for url in ("https://evil.test/services/data/", "//evil.test/", "/services/data/../oauth2/revoke"):
        with pytest.raises(SalesforceError):
            await world.client.query_more(url)
    assert world.sent == []


async def test_long_query_is_refused_before_it_is_sent() -> None:
    soql = "SELECT " + ",".join(f"Field_{n}__c" for n in range(1200)) + " FROM Account"
    assert query_url_length(soql) > MAX_QUERY_URL
    world = World(rows())
    with pytest.raises(SalesforceError) as caught:
        await world.client.query(soql, all_rows=False)
    assert caught.value.code == "query-too-long"
    assert world.sent == []


async def test_answer_over_the_cap_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.salesforce.bulk_queries.MAX_PAGE_BYTES", 10)
    body = httpx.Response(200, headers={"content-type": "text/csv"}, content=b"x" * 11)
    with pytest.raises(SalesforceError) as caught:
        await World(body).client.download_page("750")
    assert caught.value.code == "answer-too-large"


async def test_describe_unchanged() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers.get("if-none-match") == '"a"':
            return httpx.Response(304)
        body = {"name": "Account", "fields": [{"name": "Id", "type": "id"}], "childRelationships": []}
        return httpx.Response(200, headers={**JSON, "ETag": '"a"'}, json=body)

    world = World(answer)
    first = await world.client.describe("Account")
    assert isinstance(first, Describe)
    assert [(f.name, f.type) for f in first.fields] == [("Id", "id")]
    assert await world.client.describe("Account", first.etag) == NotModified('"a"')


async def test_answer_of_another_shape_is_not_trusted() -> None:
    world = World(httpx.Response(200, headers=JSON, json={"fields": "none"}))
    with pytest.raises(SalesforceError) as caught:
        await world.client.describe("Account")
    assert caught.value.code == "answer-unreadable"


async def test_bulk_pages_follow_their_locator() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        last = request.url.params.get("locator") == "MjAw"
        headers = {
            "content-type": "text/csv",
            "Sforce-NumberOfRecords": "1",
            "Sforce-Locator": "null" if last else "MjAw",
        }
        return httpx.Response(200, headers=headers, content=b'"Id"\n"1"\n')

    world = World(answer)
    first = await world.client.download_page("750000000000001AAA", max_records=1)
    last = await world.client.download_page("750000000000001AAA", first.next_locator)
    assert (bytes(first.body), first.rows_promised, first.next_locator) == (b'"Id"\n"1"\n', 1, "MjAw")
    assert last.next_locator is None
    assert world.sent[0].url.query == b"maxRecords=1"
    assert world.sent[1].url.query == b"locator=MjAw"


@pytest.mark.parametrize("headers", [{}, {"Sforce-NumberOfRecords": "1"}, {"Sforce-Locator": "null"}])
async def test_bulk_page_that_does_not_say_what_it_holds(headers: dict[str, str]) -> None:
    world = World(httpx.Response(200, headers={"content-type": "text/csv", **headers}, content=b'"Id"\n"1"\n'))
    with pytest.raises(SalesforceError) as caught:
        await world.client.download_page("750")
    assert caught.value.code == "answer-unreadable"


async def test_bulk_job_life() -> None:
    job = {
        "id": "750",
        "operation": "queryAll",
        "object": "Account",
        "state": "UploadComplete",
        "apiVersion": 62.0,
    }

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "DELETE":
            return httpx.Response(404, headers=JSON, json=[{"errorCode": "NOT_FOUND", "message": "gone"}])
        if request.url.path.endswith("/jobs/query") and request.method == "GET":
            first = "queryLocator" not in request.url.params
            more = "/services/data/v62.0/jobs/query?queryLocator=x" if first else None
            return httpx.Response(200, headers=JSON, json={"records": [job], "nextRecordsUrl": more})
        return httpx.Response(200, headers=JSON, json=job)

    world = World(answer)
    created = await world.client.create_query_job("SELECT Id FROM Account", all_rows=True)
    assert (created.id, created.state) == ("750", "UploadComplete")
    assert world.sent[0].read() == b'{"operation": "queryAll", "query": "SELECT Id FROM Account"}'
    assert (await world.client.get_query_job("750")).number_records_processed == 0
    assert (await world.client.abort_query_job("750")).id == "750"
    assert len(await world.client.list_query_jobs()) == 2
    await world.client.delete_query_job("750")


async def test_counts_and_limits() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("recordCount"):
            return httpx.Response(200, headers=JSON, json={"sObjects": [{"count": 17, "name": "Account"}]})
        if request.url.path.endswith("query"):
            return httpx.Response(200, headers=JSON, json={"totalSize": 4, "done": True, "records": []})
        limit = {"Max": 5000, "Remaining": 4998, "Some app": {"Max": 1, "Remaining": 1}}
        return httpx.Response(200, headers=JSON, json={"DailyApiRequests": limit})

    world = World(answer)
    assert await world.client.record_counts(["Account", "Contact"]) == {"Account": 17}
    assert world.sent[0].url.params["sObjects"] == "Account,Contact"
    assert await world.client.count("SELECT COUNT() FROM Account") == 4
    assert (await world.client.limits())["DailyApiRequests"].remaining == 4998


async def test_deleted_span() -> None:
    body = {
        "deletedRecords": [{"id": "001", "deletedDate": "2026-01-01T00:00:00.000+0000"}],
        "earliestDateAvailable": "2025-12-20T00:00:00.000+0000",
        "latestDateCovered": "2026-01-01T00:10:00.000+0000",
    }
    world = World(httpx.Response(200, headers=JSON, json=body))
    deleted = await world.client.get_deleted("Account", START, START + timedelta(minutes=15))
    assert deleted.deleted_records[0].deleted_date == START
    assert world.sent[0].url.params["start"] == "2026-01-01T00:00:00+00:00"


async def test_permissions_that_the_org_does_not_tell() -> None:
    world = World(no(400, "INVALID_TYPE"))
    permissions = await world.client.permissions("005000000000001AAA")
    assert (permissions.modify_all_data, permissions.query_all_files) == (None, None)
    with pytest.raises(HoldfastError):
        await world.client.permissions("x' OR Name != '")


async def test_permissions_of_any_permission_set_count() -> None:
    flags = [f"Permissions{name}" for name in ("ModifyAllData", "ViewAllData", "QueryAllFiles", "ViewSetup")]
    sets = [dict.fromkeys(flags, False) | {"PermissionsModifyAllData": yes} for yes in (False, True)]
    records = [{"attributes": {}, "PermissionSet": {"attributes": {}, **item}} for item in sets]
    world = World(httpx.Response(200, headers=JSON, json={"totalSize": 2, "done": True, "records": records}))
    permissions = await world.client.permissions("005000000000001AAA")
    assert (permissions.modify_all_data, permissions.query_all_files) == (True, False)


@pytest.mark.parametrize(
    ("header", "usage"),
    [
        ("api-usage=18/5000", Usage(18, 5000)),
        ("api-usage=25/5000; per-app-api-usage=17/250(appName=x)", Usage(25, 5000)),
        ("api-bursts=1/750; api-usage=10018/100000", Usage(10018, 100000)),
        ("per-app-api-usage=17/250(appName=x)", None),
        ("", None),
        (None, None),
    ],
)
def test_limit_header(header: str | None, usage: Usage | None) -> None:
    assert parse_usage(header) == usage


async def test_large_reads_reach_the_library_that_reads() -> None:
    http11 = httpcore._async.http11.AsyncHTTP11Connection
    assert "READ_NUM_BYTES" in vars(http11)
    async with open_http():
        assert http11.READ_NUM_BYTES == 1 << 20


def test_every_row_of_the_table_makes_a_sentence_with_a_source() -> None:
    table = [*RULES.values(), *STATUSES.values(), *(rule for _, _, rule in VARIANTS)]
    for rule in table:
        assert rule.sentence.format(message="x").endswith((".", "x"))
        assert rule.source in {"rest", "soap", "bulk", "oauth", "limits", "client"}
    for code, rule in RULES.items():
        error = refusal(400, code, "")
        assert (error.kind, error.retry, error.error_code) == (rule.kind, rule.retry, code)
    for status, rule in STATUSES.items():
        assert refusal(status, "", "").kind is rule.kind


def test_words_of_salesforce_are_shown_on_one_line_and_cut() -> None:
    error = refusal(400, "MALFORMED_QUERY", "\nselect\x1b[31m x\r\n^" + "y" * 1000)
    assert error.message.startswith("Salesforce does not accept the query: select [31m x ^yyy")
    assert len(error.message) < 350
