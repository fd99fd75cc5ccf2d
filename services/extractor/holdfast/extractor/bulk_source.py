"""Pages of a Bulk 2.0 query job."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast.common.clock import Clock
from holdfast.common.errors import HoldfastError, Kind
from holdfast.extractor.planning import Strategy, bulk_page_rows
from holdfast.extractor.reading import MOST_BULK_JOBS, Elsewhere, Fetched, names_missing_field
from holdfast.extractor.soql import ObjectQuery
from holdfast.salesforce.client import SalesforceClient
from holdfast.salesforce.models import BulkPage
from holdfast.salesforce.rows import parse_csv


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
            job = await self._client.create_query_job(self._query.unordered(), all_rows=self._query.all_rows)
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
