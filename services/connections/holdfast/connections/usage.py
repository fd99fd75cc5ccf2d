"""What callers report of an org's calls, and what becomes of it: the hours, the budget, the grants, the event."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from holdfast.common import outbox
from holdfast.common.clock import Clock, Ids
from holdfast.common.contracts import connections as public
from holdfast.common.meta import Meta
from holdfast.common.postgres import Unit
from holdfast.connections import ledger, store
from holdfast.connections.org import Tally

Exhausted = Literal["", "calls", "bulk-jobs"]

# A process that says nothing for so long is dead, or has nothing to do: what it holds is free again.
GRANT_TERM = timedelta(seconds=60)


@dataclass(frozen=True)
class Heard:
    """A report.

    Attributes:
        calls: Made by us.
        used: What the org said of all calls; a limit of 0 says nothing.
        observed_at: When it said so; None: just now.
        caller: Whose grant the calls were taken from.
        exhausted: What the org refused because it is used up.
    """

    calls: int = 0
    used: int = 0
    limit: int = 0
    observed_at: datetime | None = None
    caller: str = ""
    exhausted: Exhausted = ""

    @classmethod
    def of(cls, tally: Tally) -> Heard:
        """Calls of this service's own."""
        used, limit = tally.usage or (0, 0)
        return cls(tally.calls, used, limit)


class UsageRecords:
    """Records reports. One that is sent twice counts twice: the ledger may say too much, never too little."""

    def __init__(self, clock: Clock, ids: Ids, *, interval: timedelta, recheck: timedelta) -> None:
        """Make the recorder.

        Args:
            interval: At most one `budget.observed` per org in it.
            recheck: How long something that the org refused is taken to be used up.
        """
        self._clock = clock
        self._ids = ids
        self._interval = interval
        self._recheck = recheck

    async def record(self, unit: Unit, organization_id: str, heard: Heard) -> None:
        """Fold a report in."""
        now = self._clock.now()
        if heard.calls:
            await store.add_calls(unit, organization_id, now, heard.calls)
        if heard.caller:
            await ledger.use_grant(unit, organization_id, heard.caller, heard.calls, now + GRANT_TERM, now)
        if heard.limit:
            await self._observe(unit, organization_id, heard, now)
        elif heard.calls:
            await ledger.add_unseen_calls(unit, organization_id, heard.calls)
        if heard.exhausted == "calls":
            await ledger.exhaust(unit, organization_id, now)
        elif heard.exhausted == "bulk-jobs":
            await ledger.exhaust_bulk_jobs(unit, organization_id, now + self._recheck)

    async def _observe(self, unit: Unit, organization_id: str, heard: Heard, now: datetime) -> None:
        observed_at = min(heard.observed_at or now, now)
        due = await store.observe_budget(
            unit,
            organization_id,
            used_calls=heard.used,
            limit_calls=heard.limit,
            observed_at=observed_at,
            at=now,
            interval=self._interval,
        )
        if due:
            observed = public.BudgetObserved(
                organization_id=organization_id, used_calls=heard.used, limit_calls=heard.limit, observed_at=now
            )
            meta = Meta(correlation_id=self._ids.new(), causation_id=None, actor="api")
            await outbox.enqueue(unit, observed, meta)
