"""Works on leased rows: claims as many as there are slots, renews their leases, gives them back on stop.

A lease only keeps others away for a while; what makes a late worker harmless is the epoch, which every
write of its work must compare.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from typing import Generic, Protocol, TypeVar
from uuid import UUID

import structlog

from holdfast.common.clock import Clock
from holdfast.common.errors import HoldfastError
from holdfast.common.loops import Loop
from holdfast.common.tasks import end_tasks
from holdfast.common.wakeup import Signal

# Work that was taken away (its run was paused or cancelled) ends at the latest so long after.
WATCH = timedelta(seconds=1)
# What is left to do of a row once it no longer needs its slot.
Rest = Callable[[], Awaitable[None]]
# So many rows may be at their rest beside those that have slots; more keep theirs.
MOST_ASIDE = 64
log = structlog.get_logger(__name__)


class Claim(Protocol):
    """A leased row: its key, and the epoch that tells this holding of it from any other."""

    @property
    def key(self) -> UUID: ...

    @property
    def epoch(self) -> int: ...


C = TypeVar("C", bound=Claim)


class LeasedRows(Protocol[C]):
    """The rows of one kind and what can be done with their leases."""

    async def claim(self, in_hand: Collection[UUID]) -> C | None:
        """Lease the next row, but none with these keys; None when there is none."""

    async def renew(self, claims: Sequence[C]) -> set[UUID]:
        """Prolong leases; returns the keys of those that were still held."""

    async def still_held(self, claims: Sequence[C]) -> set[UUID]:
        """The keys of those that nobody has taken away; only looks."""

    async def release(self, claims: Sequence[C]) -> None:
        """Give rows back, so that another may take them at once."""


class Dispatcher(Loop, Generic[C]):
    """Runs `work` on up to `slots` leased rows at once.

    `work` must not raise for anything that belongs to its row; what it raises is logged, and the row stays
    leased until the lease runs out. It may return what is left to do: that is done too, under the same lease, while
    the slot is another row's already.
    """

    def __init__(
        self,
        name: str,
        rows: LeasedRows[C],
        work: Callable[[C], Awaitable[Rest | None]],
        *,
        slots: int,
        lease: timedelta,
        poll: timedelta,
        clock: Clock,
    ) -> None:
        self.signal = Signal()
        super().__init__(name, self._fill, self.signal, poll, clock)
        self._rows = rows
        self._handle = work
        self._slots = slots
        self._lease = lease
        self._running: dict[UUID, tuple[C, asyncio.Task[None]]] = {}
        self._aside: set[UUID] = set()
        self._look = Signal()

    @property
    def busy(self) -> int:
        """Rows in hand."""
        return len(self._running)

    def check(self) -> None:
        """Look now whether work in hand was taken away."""
        self._look.set()

    async def run(self) -> None:
        """Until cancelled; then ends the work in hand and gives its rows back."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._heartbeat(), name=f"{self.name}-heartbeat")
                group.create_task(self._watch(), name=f"{self.name}-watch")
                group.create_task(super().run(), name=self.name)
        finally:
            await self._stop()

    async def _fill(self) -> bool:
        if len(self._running) - min(len(self._aside), MOST_ASIDE) >= self._slots:
            return False
        # If this process stood still for longer than a lease, what it has in hand looks abandoned even to itself.
        claim = await self._rows.claim(self._running.keys())
        if claim is None:
            return False
        task = asyncio.create_task(self._guarded(claim), name=f"{self.name}-{claim.key}")
        self._running[claim.key] = (claim, task)
        task.add_done_callback(lambda done: self._ended(claim.key, done))
        return True

    async def _guarded(self, claim: C) -> None:
        try:
            rest = await self._handle(claim)
            if rest is not None:
                self._aside.add(claim.key)
                self.signal.set()
                await rest()
        except Exception as error:
            log.exception("work_failed", loop=self.name, row=str(claim.key), error=str(error))

    def _ended(self, key: UUID, task: asyncio.Task[None]) -> None:
        if key in self._running and self._running[key][1] is task:
            del self._running[key]
            self._aside.discard(key)
        self.signal.set()

    async def _heartbeat(self) -> None:
        while True:
            await self._clock.sleep(self._lease / 3)
            held = [claim for claim, _ in self._running.values()]
            if not held:
                continue
            try:
                kept = await self._rows.renew(held)
            except HoldfastError as error:
                # The database may be back before the lease ends; if not, the epoch stops every write.
                log.warning("lease_not_renewed", loop=self.name, error=error.message)
                continue
            for claim in held:
                if claim.key not in kept:
                    self._lost(claim)

    async def _watch(self) -> None:
        """End work that was taken away, sooner than the heartbeat would find out."""
        while True:
            await self._look.wait(WATCH)
            held = [claim for claim, _ in self._running.values()]
            if not held:
                continue
            try:
                kept = await self._rows.still_held(held)
            except HoldfastError as error:
                log.warning("work_not_watched", loop=self.name, error=error.message)
                continue
            for claim in held:
                if claim.key not in kept:
                    self._lost(claim)

    def _lost(self, claim: C) -> None:
        running = self._running.get(claim.key)
        if running is not None and running[0] is claim:
            log.warning("lease_lost", loop=self.name, row=str(claim.key), epoch=claim.epoch)
            running[1].cancel()

    async def _stop(self) -> None:
        held = list(self._running.values())
        await end_tasks([task for _, task in held])
        if held:
            try:
                await self._rows.release([claim for claim, _ in held])
            except HoldfastError as error:
                log.warning("lease_not_released", loop=self.name, error=error.message)
