"""Work that the org does later by its own clock: Bulk jobs that take a while, transactions that commit late."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import datetime
from itertools import count


class Schedule:
    """Tasks in the order of their time. Nothing runs by itself: whoever answers a request runs what is due first."""

    def __init__(self) -> None:
        self._tasks: list[tuple[datetime, int, Callable[[], None]]] = []
        self._order = count()

    def at(self, when: datetime, task: Callable[[], None]) -> None:
        """Have `task` run once the org's clock reaches `when`; equal times keep their order."""
        heapq.heappush(self._tasks, (when, next(self._order), task))

    def run_due(self, now: datetime) -> None:
        """Run every task whose time has come; what those tasks add is run too if it is due."""
        while self._tasks and self._tasks[0][0] <= now:
            heapq.heappop(self._tasks)[2]()

    def __len__(self) -> int:
        return len(self._tasks)
