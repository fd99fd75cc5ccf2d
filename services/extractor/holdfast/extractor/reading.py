"""Page sources: how the rows of an object come out of the org, from where a durable position left off.

A source hands out pages in order and knows nothing of what becomes of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, NoReturn, Protocol

import pyarrow as pa

from holdfast.common.clock import Clock
from holdfast.common.errors import HoldfastError, Kind
from holdfast.extractor.classification import in_bulk
from holdfast.extractor.planning import Strategy, bulk_page_rows
from holdfast.extractor.soql import STAMP, ObjectQuery, Position
from holdfast.salesforce.calls import is_refusal_of
from holdfast.salesforce.client import SalesforceClient
from holdfast.salesforce.models import BulkPage, RestPage
from holdfast.salesforce.rows import parse_csv

# After so many Bulk jobs that came to nothing the object is read by REST.
MOST_BULK_JOBS = 2


class Fetched(NamedTuple):
    """A page as it came.

    Attributes:
        rows: Rows that the org says it holds.
        last: No page follows.
        parse: The rows as a table of texts; CPU-bound. Raises UNAVAILABLE if the page is not whole.
        again: Fetch the very same page once more.
        after: Its last record, where the order of the query makes that a position.
        locator: Where it was read in the Bulk result, and `next_locator` where the next one is.
    """

    rows: int
    last: bool
    parse: Callable[[], pa.Table]
    again: Callable[[], Awaitable[Fetched]]
    origin: Literal["bulk", "rest"]
    after: Position | None = None
    bulk_job: str | None = None
    locator: str | None = None
    next_locator: str | None = None


class PageSource(Protocol):
    """Pages of one object."""

    async def next(self) -> Fetched | None:
        """The next page; None after the last one."""


class Elsewhere(Exception):  # noqa: N818 - a decision, not an error
    """The object is better read in another way, from the start.

    Attributes:
        strategy: How.
        bulk_restarts: Bulk jobs given up so far, this one included.
        reason: For the log.
    """

    def __init__(self, strategy: Strategy, bulk_restarts: int, reason: str) -> None:
        super().__init__(reason)
        self.strategy = strategy
        self.bulk_restarts = bulk_restarts
        self.reason = reason


class RestSource:
    """Pages of a REST query in the order of (SystemModstamp, Id).

    A cursor does not outlive the source: whoever goes on later asks for what comes after the last durable
    record. That costs the same one call, and finds records that changed meanwhile, which a cursor would not.
    """

    def __init__(
        self,
        client: SalesforceClient,
        query: ObjectQuery,
        *,
        after: Position | None,
        bulk_from_rows: int | None,
        bulk_restarts: int,
    ) -> None:
        """Make a source.

        Args:
            after: Last durable record.
            bulk_from_rows: From this many rows on, hand over to Bulk; None never does.
        """
        self._client = client
        self._query = query
        self._after = after
        self._bulk_from_rows = bulk_from_rows
        self._bulk_restarts = bulk_restarts
        self._next_url: str | None = None
        self._started = False

    async def next(self) -> Fetched | None:
        """The next page; None after the last one.

        Raises:
            Elsewhere: There are so many rows that Bulk is cheaper.
        """
        if not self._started:
            return self._taken(await self._open())
        if self._next_url is None:
            return None
        try:
            page = await self._client.query_more(self._next_url, self._query.fields)
        except HoldfastError as error:
            if error.kind is not Kind.NOT_FOUND:
                raise
            page = await self._open()
        return self._taken(page)

    async def _open(self) -> RestPage:
        soql = self._query.ordered(self._after)
        page = await self._client.query(soql, all_rows=True, fields=self._query.fields)
        if self._bulk_from_rows is not None and self._after is None and page.total_size >= self._bulk_from_rows:
            raise Elsewhere("bulk2", self._bulk_restarts, f"{page.total_size} rows")
        return page

    def _taken(self, page: RestPage) -> Fetched:
        self._started = True
        self._next_url = page.next_url
        table = page.table
        if table.num_rows:
            self._after = _last_record(table) or self._after
        return Fetched(
            rows=table.num_rows,
            last=page.next_url is None,
            parse=lambda: table,
            again=self._not_needed,
            origin="rest",
            after=self._after,
        )

    async def _not_needed(self) -> NoReturn:
        # A REST page is parsed when it arrives; one that is not whole never gets this far.
        raise HoldfastError(Kind.INTERNAL, "A page that was already read was asked for again.")


def _last_record(table: pa.Table) -> Position | None:
    record_id = table.column("Id")[-1].as_py()
    stamp = table.column(STAMP)[-1].as_py() if STAMP in table.column_names else None
    if not record_id:
        return None
    return Position(record_id, datetime.fromisoformat(stamp) if stamp else None)


@dataclass(frozen=True)
class BulkStart:
    """Where reading a Bulk result begins.

    Attributes:
        job_id: None to create a job.
        rows_read: Rows of that job that are durable.
    """

    job_id: str | None
    locator: str | None
    restarts: int
    rows_read: int = 0


class BulkSource:
    """Pages of a Bulk 2.0 query job."""

    def __init__(
        self,
        client: SalesforceClient,
        query: ObjectQuery,
        start: BulkStart,
        *,
        created: Callable[[str, datetime | None], Awaitable[None]],
        clock: Clock,
        page_bytes: int,
        poll_first: timedelta,
        poll_longest: timedelta,
    ) -> None:
        """Make a source.

        Args:
            created: Makes the new job's id (and its birth in the org's time) durable before it is waited for.
        """
        self._client = client
        self._query = query
        self._start = start
        self._created = created
        self._clock = clock
        self._page_rows = bulk_page_rows(len(query.fields), page_bytes)
        self._poll_first = poll_first
        self._poll_longest = poll_longest
        self._job_id = start.job_id
        self._locator = start.locator
        self._rows_read = start.rows_read
        self._rows_total: int | None = None
        self._drained = False

    async def next(self) -> Fetched | None:
        """The next page; None after the last one.

        Raises:
            Elsewhere: The job failed, its result is gone or incomplete, or Bulk does not take the object.
        """
        if self._drained:
            return None
        if self._job_id is None:
            self._job_id = await self._create()
        if self._rows_total is None:
            self._rows_total = await self._finished(self._job_id)
        fetched = await self._fetch(self._job_id, self._locator)
        self._rows_read += fetched.rows
        self._locator = fetched.next_locator
        self._drained = fetched.last
        if fetched.last and self._rows_read != self._rows_total:
            raise self._restart(f"{self._rows_read} of {self._rows_total} rows came")
        return fetched

    async def _create(self) -> str:
        try:
            job = await self._client.create_query_job(self._query.unordered(), all_rows=True)
        except HoldfastError as error:
            if error.kind is Kind.INVALID and not names_missing_field(error):
                # Bulk does not take every object and field; if the query itself is wrong, REST says so too.
                raise Elsewhere("rest", MOST_BULK_JOBS, error.message) from error
            raise
        await self._created(job.id, job.created_date)
        return job.id

    async def _finished(self, job_id: str) -> int:
        """Wait for the job; returns the rows of its result. Every look is an API call, so they grow rare."""
        pause = self._poll_first
        while True:
            try:
                job = await self._client.get_query_job(job_id)
            except HoldfastError as error:
                raise self._gone(error) from error
            if job.state == "JobComplete":
                return job.number_records_processed
            if job.state in ("Failed", "Aborted"):
                raise self._restart(f"{job.state}: {job.error_message or 'no reason given'}")
            await self._clock.sleep(pause)
            pause = min(pause * 2, self._poll_longest)

    async def _fetch(self, job_id: str, locator: str | None) -> Fetched:
        try:
            page = await self._client.download_page(job_id, locator, self._page_rows)
        except HoldfastError as error:
            raise self._gone(error) from error
        return self._as_fetched(job_id, locator, page)

    def _as_fetched(self, job_id: str, locator: str | None, page: BulkPage) -> Fetched:
        return Fetched(
            rows=page.rows_promised,
            last=page.next_locator is None,
            parse=lambda: parse_csv(page.body, page.rows_promised),
            again=lambda: self._fetch(job_id, locator),
            origin="bulk",
            bulk_job=job_id,
            locator=locator,
            next_locator=page.next_locator,
        )

    def _gone(self, error: HoldfastError) -> Exception:
        return self._restart(error.message) if error.kind is Kind.NOT_FOUND else error

    def _restart(self, reason: str) -> Elsewhere:
        restarts = self._start.restarts + 1
        rest_at_last: Strategy = "bulk2" if restarts < MOST_BULK_JOBS else "rest"
        return Elsewhere(rest_at_last, restarts, reason)


def names_missing_field(error: HoldfastError) -> bool:
    """Whether the org refused a query because a field of it is gone, or no longer visible."""
    return is_refusal_of(error, "INVALID_FIELD")


def hands_over_to_bulk(query: ObjectQuery, bulk_restarts: int, pages_durable: int) -> bool:
    """Whether a REST reading that turns out to be large may change to Bulk."""
    return in_bulk(query.object) and bulk_restarts < MOST_BULK_JOBS and pages_durable == 0
