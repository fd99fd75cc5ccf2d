"""Time and ids as parameters, so that every decision can be replayed in a test."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """The wall clock, aware, UTC."""

    def monotonic(self) -> float:
        """Seconds that never jump; for leases and timeouts."""

    async def sleep(self, pause: timedelta) -> None:
        """Wait for `pause`."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, pause: timedelta) -> None:
        await asyncio.sleep(pause.total_seconds())


class ManualClock:
    """A clock that only moves when told; `sleep` moves it."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._monotonic = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, by: timedelta) -> None:
        """Move both clocks forward."""
        self._now += by
        self._monotonic += by.total_seconds()

    async def sleep(self, pause: timedelta) -> None:
        self.advance(pause)
        await asyncio.sleep(0)


class Ids(Protocol):
    """Where new identifiers come from."""

    def new(self) -> UUID:
        """A fresh identifier; later ones sort after earlier ones."""


class TimeOrderedIds:
    """UUID version 7: milliseconds since 1970, then random bits (RFC 9562)."""

    def new(self) -> UUID:
        milliseconds = time.time_ns() // 1_000_000
        value = int.from_bytes(milliseconds.to_bytes(6, "big") + os.urandom(10), "big")
        value = value & ~(0xF << 76) | 0x7 << 76
        value = value & ~(0x3 << 62) | 0x2 << 62
        return UUID(int=value)


class SequenceIds:
    """Ids counted from one, for tests."""

    def __init__(self) -> None:
        self._next = 0

    def new(self) -> UUID:
        self._next += 1
        return UUID(int=self._next)
