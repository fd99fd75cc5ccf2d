"""API requests against the rolling 24-hour limit, and counters that tests read."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast.orgsim.errors import ApiError

WINDOW = timedelta(hours=24)


@dataclass
class _Minute:
    start: datetime
    requests: int


class Accounting:
    """Counts each API request once; knows how often each page of a result was fetched."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.total = 0
        self.by_route: Counter[tuple[str, str]] = Counter()
        self.bulk_pages: Counter[tuple[str, str, str]] = Counter()
        self.locators: Counter[str] = Counter()
        self._window: deque[_Minute] = deque()
        self._used = 0

    def charge(self, now: datetime) -> None:
        """Count one request.

        Raises:
            ApiError: 403 REQUEST_LIMIT_EXCEEDED when the window is full; the request is then not counted.
        """
        if self.used(now) >= self.limit:
            raise ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        minute = now.replace(second=0, microsecond=0)
        if not self._window or self._window[-1].start != minute:
            self._window.append(_Minute(minute, 0))
        self._window[-1].requests += 1
        self._used += 1
        self.total += 1

    def used(self, now: datetime) -> int:
        """Requests in the last 24 hours."""
        while self._window and self._window[0].start <= now - WINDOW:
            self._used -= self._window.popleft().requests
        return self._used

    def set_used(self, used: int, now: datetime) -> None:
        """Pretend that `used` requests were made just now."""
        self._window.clear()
        self._window.append(_Minute(now.replace(second=0, microsecond=0), used))
        self._used = used

    def report(self) -> dict[str, object]:
        """The counters as JSON."""
        return {
            "total": self.total,
            "routes": [{"method": m, "route": r, "calls": n} for (m, r), n in sorted(self.by_route.items())],
            "bulk_pages": [
                {"job": job, "locator": locator, "max_records": size, "fetched": n}
                for (job, locator, size), n in sorted(self.bulk_pages.items())
            ],
            "locators": [{"locator": locator, "fetched": n} for locator, n in sorted(self.locators.items())],
        }

    def reset(self) -> None:
        """Forget the counters; the 24-hour window stays."""
        self.total = 0
        self.by_route.clear()
        self.bulk_pages.clear()
        self.locators.clear()
