"""Requests at once: who has been running for long, on the org's clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

LIMIT, LONG_S = 25, 20.0


class Crowd:
    """The requests that are running now."""

    def __init__(self) -> None:
        self._running: dict[int, datetime] = {}
        self._number = 0

    @contextmanager
    def running(self, now: datetime) -> Iterator[None]:
        """Count a request for as long as it runs."""
        self._number += 1
        mine = self._number
        self._running[mine] = now
        try:
            yield
        finally:
            del self._running[mine]

    def long(self, now: datetime, longer_than_s: float) -> int:
        """How many requests have been running for so long."""
        return sum(1 for begun in self._running.values() if now - begun >= timedelta(seconds=longer_than_s))
