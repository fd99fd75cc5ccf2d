"""Pages of a Bulk 2.0 query job."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from holdfast.common.clock import Clock
from holdfast.common.errors import HoldfastError, Kind
from holdfast.extractor.legs import WHOLE
from holdfast.extractor.planning import even_pages
from holdfast.extractor.reading import MOST_BULK_JOBS, Elsewhere, Fetched, lying_page, names_missing_field, too_much
from holdfast.extractor.result_pages import FIRST, Lookahead, Place, ResultReader
from holdfast.extractor.soql import ObjectQuery
from holdfast.salesforce.client import SalesforceClient
from holdfast.salesforce.models import BulkPage, JobInfo
from holdfast.salesforce.rows import parse_csv

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class BulkStart:
    """Where reading a Bulk result begins.

    Attributes:
        job_id: None to create a job.
        place: A locator, or the text of a `Place`; None for the beginning.
        rows_read: Rows of that job that are durable.
        bodies: Hashes of its pages that are durable.
    """

    job_id: str | None
    place: str | None
    restarts: int
    rows_read: int = 0
    bodies: Collection[str] = ()


@dataclass(frozen=True)
class BulkPace:
    """How a job is waited for and its result is fetched.

    Attributes:
        page_rows: About so many rows are asked for in a page; all pages of a result are of one size.
        poll_first, poll_longest: Pauses between two looks at a job; they double.
        stuck_after: A job that shows no progress for so long is given up.
        parallel_from_pages: From so many pages on they are fetched side by side.
    """

    page_rows: int
    poll_first: timedelta
    poll_longest: timedelta
    stuck_after: timedelta
    parallel_from_pages: int


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
        pace: BulkPace,
        lookahead: Lookahead,
    ) -> None:
        """Make a source.

        Args:
            created: Makes the new job's id (and its birth in the org's time) durable before it is waited for.
            lookahead: Shared by all sources.
        """
        self._client = client
        self._query = query
        self._start = start
        self._created = created
        self._clock = clock
        self._pace = pace
        self._lookahead = lookahead
        self._page_rows = pace.page_rows
        self._job_id = start.job_id
        self._locator = start.place
        self._places: set[str] = set()
        self._rows_read = start.rows_read
        self._rows_total: int | None = None
        self._bodies = dict.fromkeys(start.bodies, "")
        self._reader: ResultReader | None = None
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
            self._page_rows = ceil(self._rows_total / even_pages(self._rows_total, self._pace.page_rows)) or 1
            self._reader = self._side_by_side(self._job_id, self._rows_total)
        fetched = await self._listed(self._job_id) if self._reader else None
        if fetched is None:
            fetched = await self._fetch(self._job_id, self._locator)
        self._take(fetched)
        return fetched

    async def close(self) -> None:
        """Drop what was fetched and not handed out."""
        if self._reader is not None:
            await self._reader.close()

    def _take(self, fetched: Fetched) -> None:
        self._rows_read += fetched.rows
        self._locator = fetched.next_locator
        self._drained = fetched.last
        if fetched.next_locator is not None and fetched.next_locator in self._places:
            raise self._restart("the same page follows twice")
        self._places.add(fetched.locator or "")
        if fetched.last and self._rows_read != self._rows_total:
            raise self._restart(f"{self._rows_read} of {self._rows_total} rows came")

    async def _create(self) -> str:
        try:
            job = await self._client.create_query_job(self._query.unordered(), all_rows=self._query.all_rows)
        except HoldfastError as error:
            if too_much(error):
                raise self._restart(error.message, error) from error
            if error.kind is Kind.INVALID and not names_missing_field(error):
                # Bulk does not take every object and field; if the query itself is wrong, REST says so too.
                raise Elsewhere("rest", MOST_BULK_JOBS, error.message) from error
            raise
        await self._created(job.id, job.created_date)
        return job.id

    async def _finished(self, job_id: str) -> int:
        """Wait for the job; returns the rows of its result. Every look is an API call, so they grow rare."""
        pause, seen, since = self._pace.poll_first, None, self._clock.now()
        while True:
            job = await self._look(job_id)
            if job.state == "JobComplete":
                return job.number_records_processed
            if job.state in ("Failed", "Aborted"):
                raise self._failed(job)
            progress = (job.state, job.number_records_processed, job.retries)
            if progress != seen:
                seen, since = progress, self._clock.now()
            elif self._clock.now() - since >= self._pace.stuck_after:
                await self._abort(job_id)
                raise self._restart(f"{job.state} without progress for {self._pace.stuck_after}")
            await self._clock.sleep(pause)
            pause = min(pause * 2, self._pace.poll_longest)

    async def _look(self, job_id: str) -> JobInfo:
        try:
            return await self._client.get_query_job(job_id)
        except HoldfastError as error:
            raise self._gone(error) from error

    def _failed(self, job: JobInfo) -> Elsewhere:
        message = f"{job.state}: {job.error_message or 'no reason given'}"
        error = HoldfastError(Kind.TIMEOUT, f"Salesforce gave up a Bulk job. {message}", code="bulk-job-failed")
        return self._restart(message, error if "QUERY_TIMEOUT" in message else None)

    async def _abort(self, job_id: str) -> None:
        try:
            await self._client.abort_query_job(job_id)
        except HoldfastError as error:
            log.warning("job_not_aborted", job=job_id, error=error.message)

    def _side_by_side(self, job_id: str, rows: int) -> ResultReader | None:
        place = Place.parse(self._locator) if self._locator else FIRST
        large = rows >= self._pace.parallel_from_pages * self._pace.page_rows
        if place is None or (place == FIRST and not large):
            return None
        return ResultReader(self._client, job_id, place, self._lookahead)

    async def _listed(self, job_id: str) -> Fetched | None:
        """The next page of those listed; None where the org lists none, so that they are asked for one by one."""
        assert self._reader is not None
        try:
            listed = await self._reader.next()
        except HoldfastError as error:
            if self._locator is None and error.kind in (Kind.NOT_FOUND, Kind.INVALID):
                await self._reader.close()
                self._reader = None
                return None
            raise self._gone(error) from error
        if listed is None:
            raise self._restart("the org lists no more pages")
        after = str(listed.after) if listed.after else None
        fetched = self._as_fetched(
            job_id, listed.address, listed.page, after, lambda: self._again(job_id, listed.address)
        )
        return fetched._replace(settled=self._reader.settled)

    async def _again(self, job_id: str, address: str) -> Fetched:
        page = await self._client.download_from(job_id, address)
        return self._as_fetched(job_id, address, page, None, lambda: self._again(job_id, address))

    async def _fetch(self, job_id: str, locator: str | None) -> Fetched:
        try:
            page = await self._client.download_page(job_id, locator, self._page_rows)
        except HoldfastError as error:
            raise self._gone(error) from error
        return self._as_fetched(job_id, locator, page, page.next_locator, lambda: self._fetch(job_id, locator))

    def _as_fetched(
        self,
        job_id: str,
        locator: str | None,
        page: BulkPage,
        following: str | None,
        again: Callable[[], Awaitable[Fetched]],
    ) -> Fetched:
        body = hashlib.blake2b(page.body, digest_size=8).hexdigest() if page.rows_promised else ""
        return Fetched(
            rows=page.rows_promised,
            last=following is None,
            parse=lambda: self._parsed(page, locator or "", body),
            again=again,
            origin="bulk",
            bulk_job=job_id,
            locator=locator,
            next_locator=following,
            body=body,
        )

    def _parsed(self, page: BulkPage, locator: str, body: str) -> pa.Table:
        """The rows of a page, if it is the one that was asked for and nothing else."""
        table = parse_csv(page.body, page.rows_promised)
        named, asked = ([name.lower() for name in names] for names in (table.column_names, self._query.fields))
        if named != asked and table.num_rows:
            raise lying_page("page-header", "its header does not name the fields that were asked for")
        if "Id" in table.column_names and pc.any(pc.equal(table.column("Id"), pa.scalar("Id"))).as_py():
            raise lying_page("page-header", "its header stands among its rows")
        if body and self._bodies.setdefault(body, locator) != locator:
            raise lying_page("page-repeated", "it holds what another page of the result holds")
        return table

    def _gone(self, error: HoldfastError) -> Exception:
        # A job belongs to the API version that it was made in, and is of no use once that is retired.
        gone = error.kind is Kind.NOT_FOUND or (error.kind is Kind.INVALID and self._client.retired is not None)
        return self._restart(error.message) if gone else error

    def _restart(self, reason: str, error: HoldfastError | None = None) -> Elsewhere:
        """One more job, then ranges of ids, then REST; what is too much for the org goes into ranges at once."""
        restarts = self._start.restarts + 1
        if error is not None:
            return Elsewhere("bulk2", restarts, reason, error)
        if restarts < MOST_BULK_JOBS:
            return Elsewhere("bulk2", restarts, reason)
        if self._query.leg == WHOLE:
            failed = HoldfastError(Kind.UNAVAILABLE, f"Salesforce's Bulk jobs come to nothing: {reason}.")
            return Elsewhere("bulk2", restarts, reason, failed)
        return Elsewhere("rest", restarts, reason)
