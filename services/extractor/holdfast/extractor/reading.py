"""What a page source is: how the rows of an object come out of the org, from a durable position on.

A source hands out pages in order and knows nothing of what becomes of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple, Protocol

import pyarrow as pa

from holdfast.common.errors import HoldfastError
from holdfast.extractor.planning import Strategy
from holdfast.extractor.soql import Position
from holdfast.salesforce.calls import is_refusal_of

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


def names_missing_field(error: HoldfastError) -> bool:
    """Whether the org refused a query because a field of it is gone, or no longer visible."""
    return is_refusal_of(error, "INVALID_FIELD")
