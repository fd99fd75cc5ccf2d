"""The org as the product sees it. Every method is one request unless it says otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import quote

import httpx

from holdfast.common.clock import Clock
from holdfast.common.errors import HoldfastError, Kind
from holdfast.salesforce.bodies import FileBody
from holdfast.salesforce.bulk_queries import BulkQueries
from holdfast.salesforce.calls import Call, Calls, Retries, is_refusal_of, read_json
from holdfast.salesforce.composite import Part, batches, read_answers, request_body
from holdfast.salesforce.errors import SalesforceError, outside_api
from holdfast.salesforce.models import (
    AccessProvider,
    Deleted,
    Describe,
    Limit,
    NotModified,
    ObjectSummary,
    Organization,
    Permissions,
    RestPage,
    Updated,
    UserInfo,
    Version,
)
from holdfast.salesforce.replies import CountReply, DescribeGlobalReply, RecordCounts
from holdfast.salesforce.rows import parse_rest
from holdfast.salesforce.transport import Answer, open_http
from holdfast.salesforce.usage import CallGate, CallObserver
from holdfast.salesforce.versions import choose_api_version

T = TypeVar("T")

# The platform answers 414 or 431 somewhere above 16,000 characters; headers count too.
MAX_QUERY_URL = 15_000

DEFAULT_API_VERSION = "62.0"


def query_url_length(soql: str) -> int:
    """Length of the request line of a REST query. Over `MAX_QUERY_URL` the query must go by Bulk."""
    return len(quote(soql, safe="")) + len("/services/data/v00.0/queryAll/?q=")


class SalesforceClient(BulkQueries):
    """Async client of one org.

    Calls that fail in passing are repeated with growing pauses; a refused token is renewed once. All calls
    here only read, or (`create_query_job`) leave something that costs nothing when repeated. When the org retires the
    API version in use, the call that finds out is made again in the newest one that both speak, as are all after it.

    Attributes:
        api_version: The one in use, such as `62.0`.
        retired: The one that was begun with, if the org no longer offers it.
    """

    def __init__(
        self,
        access: AccessProvider,
        *,
        observer: CallObserver,
        clock: Clock,
        api_version: str = DEFAULT_API_VERSION,
        http: httpx.AsyncClient | None = None,
        concurrency: int = 8,
        retries: Retries | None = None,
        allow_insecure: bool = False,
        gate: CallGate | None = None,
    ) -> None:
        """Make a client; nothing is sent yet.

        Args:
            access: Gives tokens; a refresh is its business.
            observer: Told of every request that counts against the org's limit.
            clock: For the pauses between tries.
            api_version: Such as `62.0`. A Bulk job must be made and read with the same one.
            http: A shared pool, not closed here; None opens one.
            concurrency: Requests under way at a time.
            retries: How patiently to try again.
            allow_insecure: Let http to this machine pass, for a local org.
            gate: Decides when a request may be sent; None lets all through.
        """
        self._own_http = http is None
        self._http = http or open_http(connections=concurrency)
        self._speak(api_version)
        self.retired: str | None = None
        self._choosing = asyncio.Lock()
        self._calls = Calls(
            access,
            observer=observer,
            clock=clock,
            http=self._http,
            concurrency=concurrency,
            retries=retries or Retries(),
            allow_insecure=allow_insecure,
            gate=gate,
            newer=self._newer,
        )

    async def _newer(self, call: Call) -> str:
        """The version to make a call in that was refused for its version; asks the org if nobody has yet.

        Raises:
            HoldfastError: INVALID (`api-version`) when the org offers none that Holdfast speaks.
        """
        async with self._choosing:
            if call.path.startswith(f"{self._data}/"):
                chosen = choose_api_version([offered.version for offered in await self.versions()])
                self.retired = self.retired or self.api_version
                self._speak(chosen)
            return self.api_version

    def _speak(self, api_version: str) -> None:
        self.api_version = api_version
        self._data = f"/services/data/v{api_version}"

    async def aclose(self) -> None:
        """Close the connections, if they are the client's own."""
        if self._own_http:
            await self._http.aclose()

    @property
    def answered_at(self) -> datetime | None:
        """The org's time of its newest answer, from the `Date` header, which has whole seconds; None before any."""
        return self._calls.answered_at

    def org_now(self) -> datetime | None:
        """The org's present time, by its newest answer and what has passed since; None before any."""
        return self._calls.org_now()

    # The org

    async def versions(self) -> list[Version]:
        """API versions on offer, oldest first. Salesforce does not charge this call; the hook hears of it."""
        return await self._calls.json(Call("GET", "versions", "/services/data"), list[Version])

    async def limits(self) -> dict[str, Limit]:
        """The org's limits by name, such as `DailyApiRequests`."""
        return await self._calls.json(self._get("limits", "/limits"), dict[str, Limit])

    async def record_counts(self, objects: Sequence[str] | None = None) -> dict[str, int]:
        """About how many rows each object has: cached, and without objects that have none."""
        names = "" if objects is None else "?sObjects=" + ",".join(quote(name, safe="") for name in objects)
        reply = await self._calls.json(self._get("limits/recordCount", f"/limits/recordCount{names}"), RecordCounts)
        return {item.name: item.count for item in reply.s_objects}

    async def describe_global(self) -> list[ObjectSummary]:
        """Every object that the user may see."""
        return (await self._calls.json(self._get("sobjects", "/sobjects"), DescribeGlobalReply)).sobjects

    async def describe(self, object_name: str, etag: str | None = None) -> Describe | NotModified:
        """An object and the fields that the user may see.

        Args:
            object_name: API name.
            etag: Of an earlier describe; then `NotModified` if nothing changed since.
        """
        call = self._get("sobjects/{object}/describe", f"/sobjects/{quote(object_name, safe='')}/describe")
        if etag is not None:
            call = replace(call, headers=(("If-None-Match", etag),), unchanged=True)
        return await self._calls.read(call, lambda answer: _described(answer, etag))

    async def composite(self, parts: Sequence[Part[T]]) -> list[T | SalesforceError]:
        """Several reading requests, as few calls as possible: one for 25 of them, of which five are queries.

        Args:
            parts: Made by `describe_part`, `query_part`, `count_part`, in any mixture.

        Returns:
            For each part, in order, its result or the error that its request met; that one is not repeated here.

        Raises:
            SalesforceError: When a call as a whole fails.
        """
        return [outcome for batch in batches(parts) for outcome in await self._together(batch)]

    async def _together(self, parts: Sequence[Part[T]]) -> list[T | SalesforceError]:
        headers = (("Content-Type", "application/json"),)
        content = request_body(parts, self._data)
        call = Call("POST", "composite", f"{self._data}/composite", headers, content)
        return await self._calls.read(call, lambda answer: read_answers(answer.body, parts))

    async def user_info(self) -> UserInfo:
        """Who the token belongs to, and which org it is for."""
        return await self._calls.json(Call("GET", "userinfo", "/services/oauth2/userinfo"), UserInfo)

    async def organization(self) -> Organization:
        """The org; without a name if the user may not read it."""
        fields = ["Name", "OrganizationType", "TrialExpirationDate"]
        try:
            soql = "SELECT Name, OrganizationType, TrialExpirationDate FROM Organization"
            page = await self.query(soql, all_rows=False, fields=fields)
        except HoldfastError as error:
            if _not_offered(error):
                return Organization("", developer=False)
            raise
        if not page.table.num_rows:
            return Organization("", developer=False)
        name, kind, trial_ends = (str(page.table[field][0].as_py() or "") for field in fields)
        return Organization(name, developer=kind == "Developer Edition" or bool(trial_ends))

    async def permissions(self, user_id: str) -> Permissions:
        """Whether the user sees everything; None for what the org does not tell."""
        names = ("ModifyAllData", "QueryAllFiles", "ViewAllData", "ViewSetup")
        fields = [f"PermissionSet.Permissions{name}" for name in names]
        if not user_id.isalnum():
            raise HoldfastError(Kind.INVALID, "That is not a user id.")
        soql = f"SELECT {', '.join(fields)} FROM PermissionSetAssignment WHERE AssigneeId = '{user_id}'"  # noqa: S608
        try:
            table = (await self.query(soql, all_rows=False, fields=fields)).table
        except HoldfastError as error:
            if _not_offered(error):
                return Permissions()
            raise
        if not table.num_rows:
            return Permissions()
        return Permissions(*("true" in table[field].to_pylist() for field in fields))

    # REST queries

    async def query(
        self, soql: str, *, all_rows: bool, batch_size: int = 2000, fields: Sequence[str] | None = None
    ) -> RestPage:
        """The first page of a query.

        Args:
            soql: At most `MAX_QUERY_URL` characters when escaped (`query_url_length`).
            all_rows: Also deleted and archived rows.
            batch_size: Rows a page, 200 to 2,000; Salesforce sends fewer where rows are wide.
            fields: Columns of the table, in order; without it those met in the rows.

        Raises:
            SalesforceError: TOO_LARGE (`query-too-long`) before anything is sent.
        """
        if query_url_length(soql) > MAX_QUERY_URL:
            raise SalesforceError(Kind.TOO_LARGE, "The query is too long for the REST API.", code="query-too-long")
        route = "queryAll" if all_rows else "query"
        call = self._get(route, f"/{route}?q={quote(soql, safe='')}")
        options = (("Sforce-Query-Options", f"batchSize={batch_size}"),)
        return await self._calls.read(replace(call, headers=options), lambda answer: parse_rest(answer.body, fields))

    async def tooling_query(self, soql: str, fields: Sequence[str]) -> RestPage:
        """The first page of a query on definitions, by the Tooling API; most of those have no second one."""
        call = self._get("tooling/query", f"/tooling/query?q={quote(soql, safe='')}")
        return await self._calls.read(call, lambda answer: parse_rest(answer.body, fields))

    async def query_more(self, next_url: str, fields: Sequence[str] | None = None) -> RestPage:
        """The page that `next_url` of the page before names.

        Raises:
            SalesforceError: NOT_FOUND (`INVALID_QUERY_LOCATOR`) when Salesforce dropped the result.
        """
        if not next_url.startswith("/services/data/") or ".." in next_url:
            raise outside_api("names a next page outside its API")
        call = Call("GET", "query/{locator}", next_url)
        return await self._calls.read(call, lambda answer: parse_rest(answer.body, fields))

    async def count(self, soql: str) -> int:
        """The number of rows of a `SELECT COUNT() FROM …`."""
        call = self._get("query", f"/query?q={quote(soql, safe='')}")
        return (await self._calls.json(call, CountReply)).total_size

    async def get_deleted(self, object_name: str, start: datetime, end: datetime) -> Deleted:
        """Records deleted in a span, at most the last 15 days; seconds are ignored."""
        return await self._calls.json(self._span("deleted", object_name, start, end), Deleted)

    async def get_updated(self, object_name: str, start: datetime, end: datetime) -> Updated:
        """Ids of records changed in a span, at most the last 30 days; seconds are ignored."""
        return await self._calls.json(self._span("updated", object_name, start, end), Updated)

    # Files

    def file_body(
        self, object_name: str, record_id: str, field: str, *, start: int = 0, etag: str = ""
    ) -> AbstractAsyncContextManager[FileBody]:
        """The body of a file field, piece by piece.

        Args:
            start: Ask for what comes from this byte on. Salesforce documents no ranges: look at `FileBody.start`.
            etag: Of the bytes before `start`: if the body is no longer that one, it comes from its beginning.
        """
        return self._calls.stream(self._file(object_name, record_id, quote(field, safe=""), "{field}", start, etag))

    def rich_text_image(
        self, object_name: str, record_id: str, field: str, reference: str, *, start: int = 0, etag: str = ""
    ) -> AbstractAsyncContextManager[FileBody]:
        """An image of a rich-text field ("sObject Rich Text Image Get", REST API Developer Guide).

        Args:
            reference: The `refid` of the image's address.
            start, etag: As for `file_body`.
        """
        below = f"richTextImageFields/{quote(field, safe='')}/{quote(reference, safe='')}"
        return self._calls.stream(self._file(object_name, record_id, below, "richTextImageFields", start, etag))

    def _file(self, object_name: str, record_id: str, below: str, route: str, start: int, etag: str) -> Call:
        path = f"/sobjects/{quote(object_name, safe='')}/{quote(record_id, safe='')}/{below}"
        call = self._get(f"sobjects/{{object}}/{{id}}/{route}", path)
        if not start:
            return call
        same = (("If-Range", etag),) if etag else ()
        return replace(call, headers=(("Range", f"bytes={start}-"), *same))

    def _span(self, what: str, object_name: str, start: datetime, end: datetime) -> Call:
        first, last = (quote(at.astimezone(UTC).isoformat(timespec="seconds"), safe="") for at in (start, end))
        path = f"/sobjects/{quote(object_name, safe='')}/{what}/?start={first}&end={last}"
        return self._get(f"sobjects/{{object}}/{what}", path)


def _described(answer: Answer, etag: str | None) -> Describe | NotModified:
    if answer.status == 304 and etag is not None:
        return NotModified(etag)
    described: Describe = read_json(answer.body, Describe)
    return described.model_copy(update={"etag": answer.headers.get("ETag")})


def _not_offered(error: HoldfastError) -> bool:
    """Whether the org, or the user's rights, leave out what was asked for."""
    return error.kind is Kind.FORBIDDEN or is_refusal_of(
        error, "INVALID_TYPE", "INVALID_FIELD", "MALFORMED_QUERY", "NOT_FOUND"
    )
