"""Pages of an object whose records have no id, in the order of its index (big objects)."""

from __future__ import annotations

from typing import NoReturn

from holdfast.common.errors import HoldfastError, Kind
from holdfast.extractor.keys import first_of, place_of
from holdfast.extractor.reading import MOST_RESTARTS, Elsewhere, Fetched
from holdfast.extractor.rest_source import asked
from holdfast.extractor.soql import ObjectQuery, Position
from holdfast.salesforce.client import SalesforceClient
from holdfast.salesforce.models import RestPage


class KeysetSource:
    """Pages by REST. Whoever goes on later asks for what comes from the last durable key on.

    The org does not count such objects, so that the only promise to hold an answer against is its own `totalSize`.
    """

    def __init__(
        self,
        client: SalesforceClient,
        query: ObjectQuery,
        *,
        after: Position | None,
        bulk_from_rows: int | None,
        restarts: int,
    ) -> None:
        """Make a source.

        Args:
            after: Last durable key.
            bulk_from_rows: From this many rows on, hand over to Bulk; None never does.
            restarts: Readings given up so far.
        """
        self._client = client
        self._query = query
        self._after = after
        self._bulk_from_rows = bulk_from_rows
        self._restarts = restarts
        self._ranges = query.by_key(after)
        self._next_url: str | None = None
        self._promised = self._come = 0
        self._firsts: set[str] = set()
        self._begun = client.org_now()

    async def next(self) -> Fetched | None:
        """The next page; None after the last one.

        Raises:
            Elsewhere: There are so many rows that Bulk is cheaper; or an answer is not to be believed, so that all is
                read again.
        """
        while self._next_url is not None or self._ranges:
            page = await self._page()
            self._check(page)
            self._next_url = page.next_url
            last = page.next_url is None and not self._ranges
            if page.table.num_rows or last:
                return self._taken(page, last=last)
        return None

    async def close(self) -> None:
        """Nothing is fetched ahead."""

    async def _page(self) -> RestPage:
        if self._next_url is not None:
            try:
                return await self._client.query_more(self._next_url, self._query.fields)
            except HoldfastError as error:
                if error.kind is not Kind.NOT_FOUND:
                    raise
            # The org has dropped its result: what is not durable yet is asked for anew.
            self._ranges = self._query.by_key(self._after)
            self._firsts.clear()
        page = await asked(self._client, self._query, self._ranges.pop(0))
        if self._bulk_from_rows is not None and self._after is None and page.total_size >= self._bulk_from_rows:
            raise Elsewhere("bulk2", self._restarts, f"{page.total_size} rows")
        self._promised, self._come = page.total_size, 0
        return page

    def _check(self, page: RestPage) -> None:
        first = first_of(self._query.key, page.table)
        if first is not None:
            if first in self._firsts:
                raise self._again("page-repeated", "a page came twice")
            self._firsts.add(first)
        self._come += page.table.num_rows
        if page.next_url is None and self._come < self._promised:
            raise self._again("page-short", f"{self._come} of {self._promised} promised rows came")

    def _again(self, code: str, how: str) -> Exception:
        if self._restarts >= MOST_RESTARTS:
            message = f"Salesforce's answer is not to be believed: {how}, {self._restarts + 1} times."
            return HoldfastError(Kind.DAMAGED, message, code=code)
        return Elsewhere("rest", self._restarts + 1, how)

    def _taken(self, page: RestPage, *, last: bool) -> Fetched:
        table = page.table
        place = place_of(self._query.key, table)
        # A key that cannot be asked for is no place to go on from: the one before it stays.
        self._after = self._after if place is None else Position(place, None)
        return Fetched(
            rows=table.num_rows,
            last=last,
            parse=lambda: table,
            again=_not_needed,
            origin="rest",
            after=self._after,
            read_from=self._begun or self._client.org_now(),
        )


async def _not_needed() -> NoReturn:
    # A REST page is parsed when it arrives; one that is not whole never gets this far.
    raise HoldfastError(Kind.INTERNAL, "A page that was already read was asked for again.")
