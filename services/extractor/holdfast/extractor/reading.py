"""What a page source is: how the rows of an object come out of the org, from a durable position on.

A source hands out pages in order and knows nothing of what becomes of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

import pyarrow as pa

from holdfast.common.errors import HoldfastError, Kind
from holdfast.extractor.planning import Strategy
from holdfast.extractor.soql import Position
from holdfast.salesforce.calls import is_refusal_of

# After so many Bulk jobs that came to nothing the object is read by REST.
MOST_BULK_JOBS = 2
# After so many readings that turned out wrong the object has failed.
MOST_RESTARTS = 5


def _nothing_to_do() -> None:
    """For a source that does not mind when its pages are durable."""


class Fetched(NamedTuple):
    """A page as it came.

    Attributes:
        rows: Rows that the org says it holds.
        last: No page follows.
        parse: The rows as a table of texts; CPU-bound. Raises UNAVAILABLE if the page is not whole.
        again: Fetch the very same page once more.
        after: Its last record, where the order of the query makes that a position.
        locator: Where it was read in the Bulk result, and `next_locator` where the next one is.
        body: Hash of the page as it came, empty where a page cannot come in place of another.
        settled: Called once the page is durable.
        read_from: When the reading began, in the org's time, if it takes more than this page: what changes after that
            may be missing though a later page holds a younger change.
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
    body: str = ""
    settled: Callable[[], None] = _nothing_to_do
    read_from: datetime | None = None


class PageSource(Protocol):
    """Pages of one object."""

    async def next(self) -> Fetched | None:
        """The next page; None after the last one."""

    async def close(self) -> None:
        """Drop what was fetched and not handed out."""


class Elsewhere(Exception):  # noqa: N818 - a decision, not an error
    """The object is better read in another way, from the start.

    Attributes:
        strategy: How.
        bulk_restarts: Bulk jobs given up so far, this one included.
        reason: For the log.
        too_much: What the org said to a query that is too much for it; then it is read in ranges of ids.
    """

    def __init__(
        self, strategy: Strategy, bulk_restarts: int, reason: str, too_much: HoldfastError | None = None
    ) -> None:
        super().__init__(reason)
        self.too_much = too_much
        self.strategy = strategy
        self.bulk_restarts = bulk_restarts
        self.reason = reason


def too_much(error: HoldfastError) -> bool:
    """Whether the org would answer for fewer records: it ran out of time, or counts too many."""
    return is_refusal_of(error, "QUERY_TIMEOUT", "OPERATION_TOO_LARGE")


def names_missing_field(error: HoldfastError) -> bool:
    """Whether the org refused a query because a field of it is gone, or no longer visible."""
    return is_refusal_of(error, "INVALID_FIELD")


def lying_page(code: str, how: str) -> HoldfastError:
    """A page that is not what it should be; fetching it again may bring the right one."""
    return HoldfastError(Kind.UNAVAILABLE, f"A page of the result is not to be believed: {how}.", code=code)
