"""Pages of a REST query."""

from __future__ import annotations

from datetime import datetime
from typing import NoReturn

import pyarrow as pa

from holdfast.common.errors import HoldfastError, Kind
from holdfast.extractor.classification import in_bulk
from holdfast.extractor.reading import MOST_BULK_JOBS, Elsewhere, Fetched
from holdfast.extractor.soql import ObjectQuery, Position, stamp_of
from holdfast.salesforce.client import SalesforceClient
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
        page, self._first = self._first, None
        if page is None:
            soql = self._query.ordered(self._after)
            page = await self._client.query(soql, all_rows=self._query.all_rows, fields=self._query.fields)
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
    field = stamp_of(table.column_names)
    stamp = table.column(field)[-1].as_py() if field else None
    if not record_id:
        return None
    return Position(record_id, datetime.fromisoformat(stamp) if stamp else None)


def hands_over_to_bulk(query: ObjectQuery, bulk_restarts: int, pages_durable: int) -> bool:
    """Whether a REST reading that turns out to be large may change to Bulk."""
    return in_bulk(query.object) and bulk_restarts < MOST_BULK_JOBS and pages_durable == 0
