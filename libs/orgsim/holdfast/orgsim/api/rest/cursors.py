"""Open query results, by locator."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.ids import make_id

if TYPE_CHECKING:
    from holdfast.orgsim.soql.result import Result

CURSOR_LIFETIME = timedelta(days=2)
OPEN_PER_USER = 10
_AHEAD = ThreadPoolExecutor(2, thread_name_prefix="next-page")


@dataclass(frozen=True)
class PageText:
    """The rows of one page as JSON, and the row that the next page begins at."""

    rows: bytes
    end: int


@dataclass
class Cursor:
    """An open result. It keeps the rows as they were when the query ran; the next page is made ahead of its reader."""

    result: Result
    username: str
    created: datetime
    batch: int
    version: str
    finished: bool = False
    child: bool = False
    prefix: str = ""  # before `query/` and `sobjects/` in addresses: nothing, or `tooling/`
    _ahead: tuple[int, Future[PageText]] | None = field(default=None, repr=False)

    def prepare(self, start: int, make: Callable[[int], PageText]) -> None:
        """Begin to make the page at `start` in another thread."""
        self._ahead = (start, _AHEAD.submit(make, start))

    def prepared(self, start: int) -> Future[PageText] | None:
        """The page at `start`, if it is being made."""
        ahead, self._ahead = self._ahead, None
        return ahead[1] if ahead is not None and ahead[0] == start else None


class Cursors:
    """The open results of one org, by locator."""

    def __init__(self) -> None:
        self._cursors: dict[str, Cursor] = {}
        self._number = 0
        self._lock = threading.Lock()

    def open(self, cursor: Cursor) -> str:
        """Keep a result; its locator. The user's oldest unfinished one is released when there are too many."""
        with self._lock:
            self._number += 1
            locator = make_id("0r8", self._number)
            self._cursors[locator] = cursor
            counted = [k for k, c in self._cursors.items() if self._counts(c, cursor.username)]
            for oldest in counted[:-OPEN_PER_USER]:
                del self._cursors[oldest]
            self._drop_expired(cursor.created)
        return locator

    def get(self, locator: str, username: str, now: datetime) -> Cursor:
        """The result behind a locator.

        Raises:
            ApiError: 400 INVALID_QUERY_LOCATOR.
        """
        cursor = self._cursors.get(locator)
        if cursor is None or cursor.username != username or cursor.created + CURSOR_LIFETIME <= now:
            raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return cursor

    def clear(self) -> int:
        """Forget every result; how many there were."""
        count = len(self._cursors)
        self._cursors.clear()
        return count

    @staticmethod
    def _counts(cursor: Cursor, username: str) -> bool:
        return cursor.username == username and not cursor.finished and not cursor.child

    def _drop_expired(self, now: datetime) -> None:
        for locator in [k for k, c in self._cursors.items() if c.created + CURSOR_LIFETIME <= now]:
            del self._cursors[locator]
