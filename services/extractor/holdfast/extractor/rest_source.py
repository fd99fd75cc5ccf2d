"""Pages of a REST query."""

from __future__ import annotations

from datetime import datetime
from typing import NoReturn

import pyarrow as pa

from holdfast.common.errors import HoldfastError, Kind
from holdfast.extractor.classification import in_bulk
from holdfast.extractor.reading import MOST_BULK_JOBS, MOST_RESTARTS, Elsewhere, Fetched, too_much
from holdfast.extractor.soql import ObjectQuery, Position, stamp_of
from holdfast.salesforce.client import MAX_QUERY_URL, SalesforceClient, query_url_length
from holdfast.salesforce.composite import query_part
from holdfast.salesforce.models import RestPage


class RestSource:
    """Pages of a REST query in the order of (stamp, Id).

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
        first: RestPage | None = None,
    ) -> None:
        """Make a source.

        Args:
            after: Last durable record.
            first: What the org just answered to this query, if it was asked already.
            bulk_from_rows: From this many rows on, hand over to Bulk; None never does.
        """
        self._client = client
        self._query = query
        self._after = after
        self._bulk_from_rows = bulk_from_rows
        self._bulk_restarts = bulk_restarts
        self._first = first
        self._next_url: str | None = None
        self._started = False
        self._total = self._read = 0
        self._begun: datetime | None = None
        self._firsts: set[str] = set()

    async def next(self) -> Fetched | None:
        """The next page; None after the last one.

        Raises:
            Elsewhere: There are so many rows that Bulk is cheaper.
        """
        if not self._started:
            self._begun = self._client.org_now()
            return self._taken(await self._open())
        if self._next_url is None:
            return None
        try:
            page = await self._client.query_more(self._next_url, self._query.fields)
        except HoldfastError as error:
            if error.kind is not Kind.NOT_FOUND:
                raise self._too_much(error) from error
            page = await self._open()
        return self._taken(page)

    async def close(self) -> None:
        """Nothing is fetched ahead."""

    async def _open(self) -> RestPage:
        page, self._first = self._first, None
        if page is None:
            page = await self._ask(self._query.ordered(self._after))
        if self._bulk_from_rows is not None and self._after is None and page.total_size >= self._bulk_from_rows:
            raise Elsewhere("bulk2", self._bulk_restarts, f"{page.total_size} rows")
        self._total, self._read = page.total_size, 0
        return page

    async def _ask(self, soql: str) -> RestPage:
        try:
            return await asked(self._client, self._query, soql)
        except HoldfastError as error:
            raise self._too_much(error) from error

    def _too_much(self, error: HoldfastError) -> Exception:
        return Elsewhere("rest", self._bulk_restarts, error.message, error) if too_much(error) else error

    def _check(self, page: RestPage) -> None:
        """Whether the pages of this query bring as many rows as it promised, each once and in order.

        Raises:
            Elsewhere: They do not: which page was wrong is not known, so all of them are read again.
        """
        first = _record(page.table, 0) if page.table.num_rows else None
        if first is not None:
            if self._before(first) or first.record_id in self._firsts:
                raise self._again("page-repeated", "a page came twice, or before its turn")
            self._firsts.add(first.record_id)
        self._read += page.table.num_rows
        if page.next_url is None and self._read < self._total:
            raise self._again("page-short", f"{self._read} of {self._total} promised rows came")

    def _before(self, record: Position) -> bool:
        """Whether a record's turn was before the last one's; ids alone are not compared, their order is the org's."""
        if self._query.living or self._after is None or self._after.stamp is None or record.stamp is None:
            return False
        return record.stamp < self._after.stamp

    def _again(self, code: str, how: str) -> Exception:
        restarts = self._bulk_restarts + 1
        if restarts > MOST_RESTARTS:
            message = f"Salesforce's answer is not to be believed: {how}, {restarts} times."
            return HoldfastError(Kind.DAMAGED, message, code=code)
        return Elsewhere("rest", restarts, how)

    def _taken(self, page: RestPage) -> Fetched:
        self._check(page)
        self._started = True
        self._next_url = page.next_url
        table = page.table
        if table.num_rows:
            self._after = _record(table, -1) or self._after
        return Fetched(
            rows=table.num_rows,
            last=page.next_url is None,
            parse=lambda: table,
            again=self._not_needed,
            origin="rest",
            after=self._after,
            read_from=None if page.next_url is None else self._begun or self._client.org_now(),
        )

    async def _not_needed(self) -> NoReturn:
        # A REST page is parsed when it arrives; one that is not whole never gets this far.
        raise HoldfastError(Kind.INTERNAL, "A page that was already read was asked for again.")


async def asked(client: SalesforceClient, query: ObjectQuery, soql: str) -> RestPage:
    """The first page of a query's text, however long it is."""
    if query_url_length(soql) <= MAX_QUERY_URL:
        return await client.query(soql, all_rows=query.all_rows, fields=query.fields)
    # Within a composite call the query is not in the address of the request.
    (answer,) = await client.composite([query_part(soql, all_rows=query.all_rows, fields=query.fields)])
    if isinstance(answer, HoldfastError):
        raise answer
    return answer


def _record(table: pa.Table, row: int) -> Position | None:
    record_id = table.column("Id")[row].as_py()
    field = stamp_of(table.column_names)
    stamp = table.column(field)[row].as_py() if field else None
    if not record_id:
        return None
    return Position(record_id, datetime.fromisoformat(stamp) if stamp else None)


def hands_over_to_bulk(query: ObjectQuery, bulk_restarts: int, pages_durable: int) -> bool:
    """Whether a REST reading that turns out to be large may change to Bulk."""
    return in_bulk(query.object) and bulk_restarts < MOST_BULK_JOBS and pages_durable == 0
