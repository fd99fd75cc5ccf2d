"""When an object is read whole, or listed whole, though nothing asks for it. Pure.

A formula that changes stamps no record, and a page that was lost without a trace is missed by no count that errs the
same way. So every object has a day of its own, by hash, on which all of it is looked at: no day is heavy.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

_START = datetime(2000, 1, 1, tzinfo=UTC)
# What nobody remembers the last time of is due on its own day only, not at once with everything else.
_A_DAY = timedelta(days=1)


def scan_due(job_id: UUID, object_name: str, last: datetime | None, now: datetime, every: timedelta) -> bool:
    """Whether the object is to be read whole: its turn came since it last was."""
    return _due(_turn(job_id, object_name, now, every), last, now)


def census_due(job_id: UUID, object_name: str, last: datetime | None, now: datetime, every: timedelta) -> bool:
    """Whether the object is to be listed whole; with the same period its turn is half-way between two scans."""
    return _due(_turn(job_id, object_name, now + every / 2, every) - every / 2, last, now)


def _due(turn: datetime, last: datetime | None, now: datetime) -> bool:
    return last < turn if last is not None else now - turn < _A_DAY


def _turn(job_id: UUID, object_name: str, now: datetime, every: timedelta) -> datetime:
    """The object's last turn not after `now`."""
    digest = hashlib.sha256(f"{job_id}/{object_name}".encode()).digest()
    shift = every * (int.from_bytes(digest[:8], "big") / 2**64)
    return now - (now - _START - shift) % every
