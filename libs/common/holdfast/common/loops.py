"""A loop that does work while there is some, and is woken or polls when there is not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from holdfast.common.clock import Clock, SystemClock
from holdfast.common.errors import MAPPING, ConsumerAction, HoldfastError, Kind
from holdfast.common.retry import pause_before
from holdfast.common.wakeup import Signal

BACK_OFF_BASE = timedelta(milliseconds=200)
BACK_OFF_CAP = timedelta(seconds=15)
log = structlog.get_logger(__name__)


class Loop:
    """Runs `work` until cancelled.

    `work` returns True when it did something: it is then called again at once. On False the loop waits for
    `signal` or for `poll`. An error is logged and followed by a growing pause; an error whose kind maps to
    HALT, and a MemoryError, end the loop with that error.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[bool]],
        signal: Signal,
        poll: timedelta,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self._work = work
        self._signal = signal
        self._poll = poll
        self._clock = clock or SystemClock()
        self.failures = 0

    async def run(self) -> None:
        """Never returns; ends by cancellation or by an error that must stop the process."""
        while True:
            try:
                busy = await self._work()
            except Exception as error:
                if _must_halt(error):
                    raise
                await self._back_off(error)
                continue
            self.failures = 0
            if not busy:
                await self._signal.wait(self._poll)
            else:
                await asyncio.sleep(0)  # work that never awaits must not starve the others

    async def _back_off(self, error: Exception) -> None:
        self.failures += 1
        expected = isinstance(error, HoldfastError) and error.kind is not Kind.INTERNAL
        log.warning(
            "loop_failed",
            loop=self.name,
            failures=self.failures,
            error=str(error),
            detail=getattr(error, "detail", ""),
            exc_info=None if expected else error,
        )
        asked = error.retry_after if isinstance(error, HoldfastError) else None
        await self._clock.sleep(asked or pause_before(self.failures + 1, BACK_OFF_BASE, BACK_OFF_CAP))


def _must_halt(error: Exception) -> bool:
    if isinstance(error, HoldfastError):
        return MAPPING[error.kind].consumer is ConsumerAction.HALT
    return isinstance(error, MemoryError)
