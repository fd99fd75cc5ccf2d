"""Names runs of which nothing is heard any more: a report may be parked, or its sender gone."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import structlog

from holdfast.common.postgres import Database
from holdfast.scheduler import store

log = structlog.get_logger(__name__)


class Silence:
    """Looks for silent runs, and says so once per run. It ends none: what is late may still come.

    Attributes:
        runs: The silent runs of the last look.
    """

    def __init__(self, db: Database, longest: timedelta) -> None:
        self._db = db
        self._longest = longest
        self.runs: list[UUID] = []

    async def look(self) -> bool:
        """Look once; False, since there is nothing more to do until the next look."""
        found = await store.silent_runs(self._db, self._longest)
        for run_id in found:
            if run_id not in self.runs:
                log.warning("run_silent", run_id=str(run_id), longer_than_s=self._longest.total_seconds())
        self.runs = found
        return False
