"""Open query results, by locator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.ids import make_id

if TYPE_CHECKING:
    from holdfast.orgsim.soql.evaluate import Result

CURSOR_LIFETIME = timedelta(days=2)


@dataclass
class Cursor:
    """An open result. It keeps the rows as they were when the query ran."""

    result: Result
    username: str
    created: datetime
    batch: int
    include_deleted: bool


class Cursors:
    """The open results of one org, by locator."""

    def __init__(self) -> None:
        self._cursors: dict[str, Cursor] = {}
        self._number = 0

    def open(self, cursor: Cursor) -> str:
        """Keep a result; its locator."""
        self._number += 1
        locator = make_id("0r8", self._number)
        self._cursors[locator] = cursor
        return locator

    def get(self, locator: str, username: str, now: datetime) -> Cursor:
        """The result behind a locator.

        Raises:
            ApiError: 400 INVALID_QUERY_LOCATOR.
        """
        cursor = self._cursors.get(locator)
        if cursor is None or cursor.username != username or cursor.created + CURSOR_LIFETIME <= now:
            self._cursors.pop(locator, None)
            raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return cursor

    def clear(self) -> int:
        """Forget every result; how many there were."""
        count = len(self._cursors)
        self._cursors.clear()
        return count
