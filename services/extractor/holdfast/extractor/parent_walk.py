"""Pages of an object that Salesforce only answers for by parent, or by one value of a column.

The parents are walked in the order of their ids. A page holds the records of many parents; its position is the last
parent whose records are all in it or before it. Whoever goes on later asks again for the records of the parents after
that one: a parent may be asked twice, which the differ tells by content, and is never left out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import NamedTuple, NoReturn

import pyarrow as pa

from holdfast.common.errors import HoldfastError, Kind
from holdfast.extractor.classification import Walk
from holdfast.extractor.planning import REST_PAGE_ROWS
from holdfast.extractor.reading import Fetched, PageSource, lying_page, too_much
from holdfast.extractor.soql import ObjectQuery, Position
from holdfast.salesforce.calls import is_refusal_of
from holdfast.salesforce.client import SalesforceClient
from holdfast.salesforce.composite import MOST_QUERIES, query_part
from holdfast.salesforce.errors import SalesforceError
from holdfast.salesforce.models import RestPage

# A cursor that Salesforce drops in mid-answer costs the answer once more; again and again is no accident.
MOST_REOPENINGS = 3


class _Answered(NamedTuple):
    """Rows of some parents. `done` is the last parent whose records have all come; None while more follow."""

    table: pa.Table
    done: str | None


class ParentWalk:
    """A page source: five queries in a call, each for as many parents as the object allows."""

    def __init__(
        self,
        client: SalesforceClient,
        query: ObjectQuery,
        walk: Walk,
        *,
        after: Position | None,
        whole: PageSource | None = None,
    ) -> None:
        """Make a source.

        Args:
            after: Last durable position: of a walk, or (with a stamp) of `whole`.
            whole: Reads the object without a filter; tried first where given, unless a walk is under way.
        """
        self._client = client
        self._query = query
        self._walk = walk
        walking = after is not None and after.stamp is None
        self._whole = None if walking else whole
        self._after = after.record_id if walking and after is not None else None
        self._answers: AsyncIterator[_Answered] | None = None
        self._drained = False
        self._begun: datetime | None = None

    async def close(self) -> None:
        """Drop what was fetched and not handed out."""
        if self._whole is not None:
            await self._whole.close()

    async def next(self) -> Fetched | None:
        """The next page; None after the last one.

        Raises:
            Elsewhere: From the source that reads without a filter.
        """
        if self._whole is not None:
            try:
                return await self._whole.next()
            except HoldfastError as error:
                if not is_refusal_of(error, "MALFORMED_QUERY"):
                    raise
                self._whole = None  # the user lacks the permission to ask without a filter
        return None if self._drained else await self._page()

    async def _page(self) -> Fetched:
        if self._answers is None:
            self._answers = self._all()
            self._begun = self._client.org_now()
        tables: list[pa.Table] = []
        rows = 0
        while rows < REST_PAGE_ROWS:
            answered = await anext(self._answers, None)
            if answered is None:
                self._drained = True
                break
            tables.append(answered.table)
            rows += answered.table.num_rows
            self._after = answered.done or self._after
        table = pa.concat_tables(tables) if tables else _nothing(self._query.fields)
        return Fetched(
            rows=rows,
            last=self._drained,
            parse=lambda: table,
            again=_not_needed,
            origin="rest",
            after=None if self._after is None else Position(self._after, None),
            read_from=self._begun or self._client.org_now(),
        )

    async def _all(self) -> AsyncIterator[_Answered]:
        async for keys in self._keys():
            groups = [keys[n : n + self._walk.most] for n in range(0, len(keys), self._walk.most)]
            for n in range(0, len(groups), MOST_QUERIES):
                for group, first in await self._ask(groups[n : n + MOST_QUERIES]):
                    async for answered in self._answer_of(group, first):
                        yield answered

    async def _ask(self, groups: list[list[str]]) -> list[tuple[list[str], RestPage]]:
        """The first pages of the records of each group of parents, in one call.

        A group that is too much for the org is asked for in halves, and those again, down to a single parent.
        """
        fields = self._query.fields
        parts = [
            query_part(self._query.filtered(self._walk.field, group), all_rows=True, fields=fields) for group in groups
        ]
        try:
            outcomes = await self._client.composite(parts)
        except SalesforceError as error:
            if not _too_many(error):
                raise
            outcomes = [error for _ in groups]  # what was asked or answered together was too much: less of each
        answered: list[tuple[list[str], RestPage]] = []
        for group, outcome in zip(groups, outcomes, strict=True):
            if not isinstance(outcome, SalesforceError):
                answered.append((group, outcome))
            elif len(group) > 1 and _too_many(outcome):
                middle = len(group) // 2
                answered += await self._ask([group[:middle], group[middle:]])
            else:
                raise outcome
        return answered

    async def _answer_of(self, group: list[str], first: RestPage, reopened: int = 0) -> AsyncIterator[_Answered]:
        page, came = first, first.table.num_rows
        while page.next_url is not None:
            yield _Answered(page.table, None)
            try:
                page = await self._client.query_more(page.next_url, self._query.fields)
            except HoldfastError as error:
                if error.kind is not Kind.NOT_FOUND or reopened >= MOST_REOPENINGS:
                    raise
                for part, begun in await self._ask([group]):
                    async for answered in self._answer_of(part, begun, reopened + 1):
                        yield answered
                return
            came += page.table.num_rows
        # Nobody counts such an object afterwards: rows that are missing here would be missed for good.
        _require_whole(came, first.total_size)
        yield _Answered(page.table, group[-1])

    async def _keys(self) -> AsyncIterator[list[str]]:
        """Ids of all parents, deleted ones included, or the values to ask for; those behind the position."""
        if not self._walk.parent:
            values = [value for value in sorted(self._walk.values) if self._after is None or value > self._after]
            if values:
                yield values
            return
        last = self._after
        while True:
            where = "" if last is None else f" WHERE Id > '{last}'"
            soql = f"SELECT Id FROM {self._walk.parent}{where} ORDER BY Id LIMIT {REST_PAGE_ROWS}"  # noqa: S608
            ids = await self._ids(soql)
            if ids:
                last = ids[-1]
                yield ids
            if len(ids) < REST_PAGE_ROWS:
                return

    async def _ids(self, soql: str) -> list[str]:
        """All ids that a query for parents finds: Salesforce may hand them out in smaller pages than asked for."""
        page = await self._client.query(soql, all_rows=True, fields=["Id"])
        ids: list[str] = page.table["Id"].to_pylist()
        promised = page.total_size
        while page.next_url is not None:
            page = await self._client.query_more(page.next_url, ["Id"])
            ids += page.table["Id"].to_pylist()
        _require_whole(len(ids), promised)
        return ids


def _require_whole(came: int, promised: int) -> None:
    if came < promised:
        raise lying_page("page-short", f"{came} of {promised} promised rows came")


def _too_many(error: HoldfastError) -> bool:
    """Whether the org would answer for fewer parents: the query is too long, too large, or takes too long."""
    return too_much(error) or (isinstance(error, SalesforceError) and error.kind is Kind.TOO_LARGE)


def _nothing(fields: Sequence[str]) -> pa.Table:
    return pa.table({name: pa.array([], pa.string()) for name in fields})


async def _not_needed() -> NoReturn:
    # A REST page is parsed when it arrives; one that is not whole never gets this far.
    raise HoldfastError(Kind.INTERNAL, "A page that was already read was asked for again.")
