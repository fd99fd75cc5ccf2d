"""The gate before every Salesforce call: calls are taken from grants of `connections`, many per question.

An org has one ledger for all processes. A process asks it for calls in batches and takes them without asking; what it
did not use it gives back. Without a grant no call is made: short waits are waited out here, for long ones the call is
refused with `BudgetSpentError`, and the work is put off.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Literal, NamedTuple, Protocol
from uuid import UUID

import structlog

from holdfast.common.clock import Clock
from holdfast.common.errors import HoldfastError, Kind
from holdfast.salesforce.errors import Retry, SalesforceError

log = structlog.get_logger(__name__)

Purpose = Literal["records", "census", "files"]
Exhausted = Literal["", "calls", "bulk-jobs"]

# A grant is given up so long before it ends: its owner's clock and the ledger's start it a moment apart.
MARGIN_S = 5.0
# A pause up to this is waited out by the call itself.
SHORT_S = 5.0
# Short pauses that come to more than this in a row are a wait that people shall see.
LONG_S = 20.0
BATCH_FIRST, BATCH_MOST = 20, 200
# A batch that was used up within this time was too small.
BATCH_WORTH_S = 20.0
# While `connections` cannot be asked, a process may make so many calls on credit, if there were so many when it
# was last asked: extractions in hand survive its restart.
CREDIT_CALLS = 100
_NEW_JOB = ("POST", "jobs/query")


class Spending(NamedTuple):
    """For what calls are made. `percent`: share of the org's calls at which they stop."""

    job_id: UUID | None
    percent: int
    purpose: Purpose


_NOBODYS = Spending(None, 100, "records")
_spending: ContextVar[Spending] = ContextVar("holdfast_extractor_spending", default=_NOBODYS)


def spend_for(job_id: UUID, percent: int, purpose: Purpose = "records") -> None:
    """Whose calls those are that this task, and those it starts from now on, make."""
    _spending.set(Spending(job_id, percent, purpose))


def spend_as(purpose: Purpose) -> None:
    """What the calls of this task, and of those it starts from now on, are for; the job stays."""
    _spending.set(_spending.get()._replace(purpose=purpose))


class BudgetSpentError(HoldfastError):
    """No call may be made for now.

    Attributes:
        free_at: When calls are expected to be free again, as far as that is known.
    """

    def __init__(self, message: str, pause: timedelta, free_at: datetime | None) -> None:
        super().__init__(Kind.LIMIT, message, code="api-budget", retry_after=pause)
        self.free_at = free_at


@dataclass(frozen=True)
class Wish:
    """What a process asks the ledger for. `held`: calls of earlier grants in hand, under way or not reported."""

    connection_id: UUID
    caller: str
    spending: Spending
    calls: int
    held: int
    slots: int


@dataclass(frozen=True)
class Granted:
    """What it gets. Without calls, or without slots, it asks again after `pause`."""

    calls: int
    slots: int
    term: timedelta
    pause: timedelta = timedelta(0)
    reason: str = ""
    free_at: datetime | None = None
    left: int = 0
    bulk_wait: timedelta = timedelta(0)


class Ledger(Protocol):
    """The org's ledger in `connections`, and what is reported to it."""

    async def reserve(self, wish: Wish) -> Granted:
        """Ask for calls."""

    def exhausted(self, connection_id: UUID, what: Exhausted) -> None:
        """The org refused a call because something is used up; to be reported."""

    async def report(self) -> bool:
        """Hand on what is not reported yet."""

    def unreported(self, connection_id: UUID) -> int:
        """Calls that are not handed on yet."""


class _Pool:
    """Calls in hand for work with the same limit."""

    def __init__(self) -> None:
        self.calls = 0
        self.batch = BATCH_FIRST
        self.filled_at = -BATCH_WORTH_S
        self.left = 0
        self.waited_s = 0.0
        self.blocked_until = 0.0
        self.refusal: Granted | None = None
        self.asking = asyncio.Lock()


class Gate:
    """The gate to one org, for all work of this process. `admission` surrounds each call."""

    def __init__(self, ledger: Ledger, clock: Clock, connection_id: UUID, caller: str, slots: int) -> None:
        self._ledger = ledger
        self._clock = clock
        self._connection_id = connection_id
        self._caller = caller
        self._wanted_slots = slots
        self._pools: dict[tuple[int, Purpose], _Pool] = {}
        self._slots = 0
        self._busy = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._valid_until = 0.0
        self._term_s = 0.0
        self._bulk_until = 0.0
        self._under_way = 0
        self._credit = CREDIT_CALLS

    def admission(self, method: str, route: str) -> _Admission:
        """Surrounds one call: it begins when the call may be made."""
        return _Admission(self, (method, route) == _NEW_JOB)

    def renewed(self, asked_at: float) -> None:
        """A report sent at that time reached the ledger: what is in hand holds for another term."""
        if self._valid_until > asked_at:
            self._valid_until = asked_at + self._term_s - MARGIN_S

    async def enter(self, *, new_job: bool) -> None:
        """Take one call and one slot.

        Raises:
            BudgetSpentError: There is none, and will be none soon.
            HoldfastError: The ledger cannot be asked.
        """
        spending = _spending.get()
        key = spending.percent, spending.purpose
        pool = self._pools.get(key) or self._pools.setdefault(key, _Pool())
        now = self._clock.monotonic()
        if new_job and now < self._bulk_until:
            pause = timedelta(seconds=self._bulk_until - now)
            raise BudgetSpentError("The org takes no more Bulk queries for now.", pause, None)
        if now >= self._valid_until:
            self._give_back()
        while pool.calls <= 0:
            await self._fill(pool, spending)
        pool.calls -= 1
        self._under_way += 1
        try:
            while self._busy >= self._slots:
                await self._wait_for_slot(spending)
        except BaseException:
            self._under_way -= 1
            raise
        self._busy += 1

    def leave(self, error: BaseException | None, *, new_job: bool) -> None:
        """The call is over. What the org refused because it is used up is told to the ledger."""
        self._busy -= 1
        self._under_way -= 1
        self._wake()
        if isinstance(error, SalesforceError) and error.kind is Kind.LIMIT and error.retry is Retry.LATER:
            bulk = new_job and error.error_code != "REQUEST_LIMIT_EXCEEDED"
            self._ledger.exhausted(self._connection_id, "bulk-jobs" if bulk else "calls")
            self._give_back()
            # The ledger knows better how long to wait, and is asked before the next call.
            error.retry_after = timedelta(seconds=1)

    def _give_back(self) -> None:
        """What is in hand is not used: the next question tells the ledger so."""
        for pool in self._pools.values():
            pool.calls = 0

    async def _fill(self, pool: _Pool, spending: Spending) -> None:
        async with pool.asking:
            if pool.calls > 0:
                return
            asked_at = self._clock.monotonic()
            if pool.refusal is not None and asked_at < pool.blocked_until:
                raise _spent(pool.refusal, pool.blocked_until - asked_at)
            if asked_at - pool.filled_at < BATCH_WORTH_S:
                pool.batch = min(BATCH_MOST, pool.batch * 2)
            granted = await self._ask(spending, pool.batch, pool)
            pool.refusal = None
            if granted.calls:
                pool.calls += granted.calls
                pool.waited_s = 0.0
                pool.filled_at = asked_at
                return
            # What others hold may be what this process holds itself, for work with another limit.
            self._give_back()
            pause = granted.pause.total_seconds()
            pool.waited_s = pool.waited_s + pause
            if pause > SHORT_S or pool.waited_s > LONG_S:
                pool.waited_s = 0.0
                pause = max(pause, SHORT_S)
                pool.refusal, pool.blocked_until = granted, asked_at + pause - MARGIN_S / 10
                raise _spent(granted, pause)
        await self._clock.sleep(granted.pause)

    async def _ask(self, spending: Spending, calls: int, pool: _Pool | None) -> Granted:
        """One question to the ledger, what is not reported yet first."""
        await self._ledger.report()
        in_hand = sum(one.calls for one in self._pools.values())
        held = in_hand + self._under_way + self._ledger.unreported(self._connection_id)
        asked_at = self._clock.monotonic()
        wish = Wish(self._connection_id, self._caller, spending, calls, held, self._wanted_slots)
        try:
            granted = await self._ledger.reserve(wish)
        except HoldfastError as error:
            on_credit = min(calls, self._credit, pool.left if pool else 0)
            if not error.transient or error.kind is Kind.LIMIT or on_credit <= 0:
                raise
            log.warning("calls_on_credit", connection=str(self._connection_id), calls=on_credit, error=error.message)
            self._credit -= on_credit
            return Granted(on_credit, max(1, self._slots), timedelta(0))
        self._credit = CREDIT_CALLS
        if pool is not None:
            pool.left = granted.left
        self._slots = granted.slots
        self._term_s = granted.term.total_seconds()
        self._valid_until = asked_at + self._term_s - MARGIN_S
        self._bulk_until = asked_at + granted.bulk_wait.total_seconds()
        self._wake()
        return granted

    async def _wait_for_slot(self, spending: Spending) -> None:
        if self._busy == 0:
            # Other processes have them all, and nothing of ours will end and wake us.
            await self._clock.sleep(timedelta(seconds=1))
            await self._ask(spending, 0, None)
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            self._wake()  # the turn may have come already: it is somebody else's then
            raise

    def _wake(self) -> None:
        for _ in range(self._slots - self._busy):
            while self._waiting and self._waiting[0].done():
                self._waiting.popleft()
            if not self._waiting:
                return
            self._waiting.popleft().set_result(None)

    async def close(self) -> None:
        """Give everything back, so that nobody waits for the term to end."""
        self._give_back()
        if self._slots:
            self._wanted_slots = 0
            try:
                await self._ask(_spending.get(), 0, None)
            except HoldfastError as error:
                log.info("grant_not_returned", connection=str(self._connection_id), error=error.message)


class _Admission:
    """One call at the gate."""

    __slots__ = ("_gate", "_new_job")

    def __init__(self, gate: Gate, new_job: bool) -> None:
        self._gate = gate
        self._new_job = new_job

    async def __aenter__(self) -> None:
        await self._gate.enter(new_job=self._new_job)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gate.leave(error, new_job=self._new_job)


def _spent(refusal: Granted, pause_s: float) -> BudgetSpentError:
    return BudgetSpentError(refusal.reason, timedelta(seconds=pause_s), refusal.free_at)
