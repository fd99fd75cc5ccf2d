"""Grants calls to those who ask, and asks the org itself when nothing was heard of it for long."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from holdfast.common.clock import Clock
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import durable_step
from holdfast.common.postgres import Database, Unit
from holdfast.common.rpc.connections.v1 import connections_pb2 as pb
from holdfast.connections import ledger
from holdfast.connections.budget import Purpose, share_of_slots
from holdfast.connections.org import BULK_QUERY_JOBS, Orgs, Tally
from holdfast.connections.store import ConnectionRow
from holdfast.connections.tokens import Tokens
from holdfast.connections.usage import GRANT_TERM, Heard, UsageRecords
from holdfast.salesforce.models import Access, Limit

CALLS_RESERVED = durable_step("connections.calls_reserved")
LIMITS_ASKED = durable_step("connections.limits_asked")

# What others hold is used or given back in moments.
SHORT_PAUSE = timedelta(seconds=2)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Wish:
    """What a process asks for. `held`: what it still has of earlier grants; all else of them is free again."""

    connection_id: UUID
    caller: str
    purpose: Purpose
    percent: int
    calls: int
    held: int
    slots: int


@dataclass(frozen=True)
class Reservation:
    """What it gets; without calls or slots it waits for `pause`, because of `reason`.

    Attributes:
        free_at: When calls are expected to be free again, as far as that is known.
        bulk_wait: How long the org takes no new Bulk query jobs.
    """

    calls: int
    slots: int
    left: int
    pause: timedelta
    reason: str
    free_at: datetime | None
    bulk_wait: timedelta


@dataclass(frozen=True)
class Terms:
    """Settings: see `ConnectionsSettings`."""

    reserve_percent: int
    recheck: timedelta


class Reservations:
    """The one ledger of each org, for all processes that call it."""

    def __init__(
        self, db: Database, orgs: Orgs, tokens: Tokens, clock: Clock, usage: UsageRecords, terms: Terms
    ) -> None:
        self._db = db
        self._orgs = orgs
        self._tokens = tokens
        self._clock = clock
        self._usage = usage
        self.terms = terms
        self._asking: dict[str, asyncio.Lock] = {}

    async def reserve(self, row: ConnectionRow, wish: Wish) -> Reservation:
        """Grant calls, or say how long to wait and why.

        A refusal that rests on what the org said long ago is not given before the org was asked once more; it
        is asked at most once in `recheck`, by whichever process comes first.
        """
        found = await self._try(row, wish)
        if found.calls or found.pause <= SHORT_PAUSE:
            return found
        async with self._asking.setdefault(row.organization_id, asyncio.Lock()):
            if await self._ask_org(row):
                found = await self._try(row, wish)
        return found

    async def standing(self, row: ConnectionRow, purpose: Purpose, percent: int) -> pb.GetBudgetResponse:
        """How the org's budget stands for such work."""

        async def work(unit: Unit) -> pb.GetBudgetResponse:
            now = self._clock.now()
            budget = (await ledger.lock_org(unit, row.organization_id, now, self.terms.recheck)).budget
            ceiling = budget.ceiling(purpose, percent, self.terms.reserve_percent)
            return pb.GetBudgetResponse(
                used_calls=budget.used,
                limit_calls=budget.limit,
                own_calls=budget.own_calls(now),
                ceiling_calls=ceiling,
                left_calls=budget.left(ceiling),
            )

        return await self._db.run(CALLS_RESERVED, work)

    async def _try(self, row: ConnectionRow, wish: Wish) -> Reservation:
        async def work(unit: Unit) -> Reservation:
            now = self._clock.now()
            org = await ledger.lock_org(unit, row.organization_id, now, self.terms.recheck, wish.caller)
            return await self._decide(unit, row, wish, org, now)

        return await self._db.run(CALLS_RESERVED, work)

    async def _decide(self, unit: Unit, row: ConnectionRow, wish: Wish, org: ledger.Org, now: datetime) -> Reservation:
        mine = org.grants.pop(wish.caller, ledger.Grant(0, 0, 0))
        kept = min(wish.held, mine.calls)
        budget = replace(org.budget, held=org.budget.held - mine.calls + kept)
        ceiling = budget.ceiling(wish.purpose, wish.percent, self.terms.reserve_percent)
        calls = budget.granted(wish.calls, ceiling)
        others = [(grant.wanted_slots, grant.slots) for grant in org.grants.values()]
        slots = share_of_slots(org.long_requests, wish.slots, others)
        held = ledger.Grant(kept + calls, slots, wish.slots)
        await ledger.put_grant(unit, row.organization_id, wish.caller, held, now + GRANT_TERM)
        bulk_wait = max(timedelta(0), (org.bulk_until or now) - now)
        free_at, pause, reason = None, timedelta(0), ""
        if not calls:
            blocked_by_grants = budget.used < ceiling
            pause = SHORT_PAUSE if blocked_by_grants else self.terms.recheck
            free_at = budget.free_at(ceiling, now)
            reason = self._reason(wish, budget.used, budget.limit)
        elif not slots:
            pause, reason = SHORT_PAUSE, "Other processes have all requests under way that the org takes at once."
        return Reservation(calls, slots, budget.left(ceiling), pause, reason, free_at, bulk_wait)

    def _reason(self, wish: Wish, used: int, limit: int) -> str:
        said = f"{used:,} of the org's {limit:,} API calls of 24 hours are used"
        if wish.purpose == "restore" or used >= limit:
            return f"{said}, so that it takes no more."
        kept = 100 - self.terms.reserve_percent
        if wish.percent > kept:
            return f"{said}; the last {self.terms.reserve_percent} % are kept for restores."
        what = {"files": "; files stop before records do", "census": "; censuses stop before records do"}
        return f"{said}, and the job stops at {wish.percent} %{what.get(wish.purpose, '')}."

    async def _ask_org(self, row: ConnectionRow) -> bool:
        """Ask the org for its limits if it is time to; True if it said something."""
        now = self._clock.now()

        async def note(unit: Unit) -> bool:
            return await ledger.may_ask(unit, row.organization_id, now, self.terms.recheck)

        if not await self._db.run(LIMITS_ASKED, note):
            return False
        try:
            limits, tally = await self._orgs.limits(_Held(self._tokens, row.connection_id), row.api_version)
        except HoldfastError as error:
            log.info("limits_not_told", organization=row.organization_id, error=error.message)
            if error.kind is not Kind.LIMIT:
                return False
            limits, tally = {}, Tally(calls=1)

        async def keep(unit: Unit) -> None:
            for heard in _said(limits, tally):
                await self._usage.record(unit, row.organization_id, heard)

        await self._db.run(LIMITS_ASKED, keep)
        return True


@dataclass(frozen=True)
class _Held:
    """The token that is handed out to everybody; renewed for everybody when the org refuses it."""

    tokens: Tokens
    connection_id: UUID

    async def access(self, refused: str | None = None) -> Access:
        return await self.tokens.get(self.connection_id, refused or "")


def _said(limits: Mapping[str, Limit], tally: Tally) -> list[Heard]:
    """What an org's limits say of its budget; none at all: it refused even this call."""
    daily, bulk = limits.get("DailyApiRequests"), limits.get(BULK_QUERY_JOBS)
    if daily is None:
        return [Heard(calls=tally.calls, exhausted="calls")]
    heard = [Heard(calls=tally.calls, used=daily.max - daily.remaining, limit=daily.max)]
    return [*heard, Heard(exhausted="bulk-jobs")] if bulk is not None and bulk.remaining <= 0 else heard
