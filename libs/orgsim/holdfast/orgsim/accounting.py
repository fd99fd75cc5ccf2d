"""API requests and Bulk batches against their rolling 24-hour limits, and counters that tests and people read."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from holdfast.orgsim.errors import ApiError

WINDOW = timedelta(hours=24)
MOST_RESULT_BYTES = 976_562 << 20  # of Bulk 2.0 query results
MOST_CLIENTS = 200  # a client that changes its name with every request must not fill the memory


@dataclass
class _Minute:
    start: datetime
    count: int


class Allowance:
    """So many of something in any 24 hours."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._minutes: deque[_Minute] = deque()
        self._used = 0
        self._full_until: datetime | None = None

    def used(self, now: datetime) -> int:
        """How many in the last 24 hours; the whole limit while it is declared used up."""
        while self._minutes and self._minutes[0].start <= now - WINDOW:
            self._used -= self._minutes.popleft().count
        if self._full_until is not None and now < self._full_until:
            return max(self.limit, self._used)
        return self._used

    def left(self, now: datetime) -> int:
        """How many may still be taken."""
        return max(0, self.limit - self.used(now))

    def take(self, count: int, now: datetime) -> bool:
        """Take `count`; False, and none taken, if that is more than is left."""
        if count > self.left(now):
            return False
        minute = now.replace(second=0, microsecond=0)
        if not self._minutes or self._minutes[-1].start != minute:
            self._minutes.append(_Minute(minute, 0))
        self._minutes[-1].count += count
        self._used += count
        return True

    def set_used(self, used: int, now: datetime) -> None:
        """Pretend that `used` were taken just now."""
        self._minutes.clear()
        self._minutes.append(_Minute(now.replace(second=0, microsecond=0), used))
        self._used = used
        self._full_until = None

    def exhaust(self, until: datetime | None) -> None:
        """Count as used up until a moment; with None no longer."""
        self._full_until = until


@dataclass
class ClientCalls:
    """What one client has asked for so far."""

    calls: int = 0
    errors: int = 0
    bytes_sent: int = 0
    last_at: str = ""
    last_request: str = ""
    last_status: int = 0


class Accounting:
    """Counts each API request once; knows who asked, and how often each page of a result was fetched."""

    def __init__(self, limit: int, batch_limit: int = 15_000) -> None:
        self.requests = Allowance(limit)
        self.batches = Allowance(batch_limit)
        self.result_bytes = Allowance(MOST_RESULT_BYTES)
        self.total = 0
        self.by_route: Counter[tuple[str, str]] = Counter()
        self.by_client: dict[str, ClientCalls] = {}
        self.bulk_pages: Counter[tuple[str, str, str]] = Counter()
        self.locators: Counter[str] = Counter()

    @property
    def limit(self) -> int:
        """API requests per 24 hours."""
        return self.requests.limit

    @limit.setter
    def limit(self, value: int) -> None:
        self.requests.limit = value

    def charge(self, now: datetime) -> None:
        """Count one request.

        Raises:
            ApiError: 403 REQUEST_LIMIT_EXCEEDED when the window is full; the request is then not counted.
        """
        if not self.requests.take(1, now):
            raise ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        self.total += 1

    def charge_batches(self, count: int, now: datetime) -> None:
        """Count Bulk batches.

        Raises:
            ApiError: EXCEEDEDQUOTA when more than what is left; none is then counted.
        """
        if not self.batches.take(count, now):
            raise ApiError(400, "EXCEEDEDQUOTA", "ApiBatchItems Limit exceeded.")

    def used(self, now: datetime) -> int:
        """Requests in the last 24 hours."""
        return self.requests.used(now)

    def set_used(self, used: int, now: datetime) -> None:
        """Pretend that `used` requests were made just now."""
        self.requests.set_used(used, now)

    def heard(self, client: str, request: str, status: int, size: int, now: datetime) -> None:
        """Note a request of a client and how it was answered."""
        if client not in self.by_client and len(self.by_client) >= MOST_CLIENTS:
            client = "(others)"
        seen = self.by_client.setdefault(client, ClientCalls())
        seen.calls += 1
        seen.errors += status >= 400
        seen.bytes_sent += size
        seen.last_at, seen.last_request, seen.last_status = now.isoformat(timespec="seconds"), request, status

    def report(self) -> dict[str, object]:
        """The counters as JSON."""
        return {
            "total": self.total,
            "routes": [{"method": m, "route": r, "calls": n} for (m, r), n in sorted(self.by_route.items())],
            "clients": [{"client": name, **asdict(seen)} for name, seen in sorted(self.by_client.items())],
            "bulk_pages": [
                {"job": job, "locator": locator, "max_records": size, "fetched": n}
                for (job, locator, size), n in sorted(self.bulk_pages.items())
            ],
            "locators": [{"locator": locator, "fetched": n} for locator, n in sorted(self.locators.items())],
        }

    def reset(self) -> None:
        """Forget the counters; the 24-hour windows stay."""
        self.total = 0
        self.by_route.clear()
        self.by_client.clear()
        self.bulk_pages.clear()
        self.locators.clear()


def client_name(headers: Mapping[str, str]) -> str:
    """Who asks: the client of `Sforce-Call-Options`, otherwise the User-Agent."""
    named = re.search(r"client=([^;,]+)", headers.get("sforce-call-options", ""))
    return (named.group(1).strip() if named else headers.get("user-agent", "").strip())[:120] or "(unnamed)"
