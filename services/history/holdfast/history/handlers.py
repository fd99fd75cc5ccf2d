"""What history does besides folding events: it keeps and announces the verdict of a verification."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from holdfast.common import outbox
from holdfast.common.contracts.history import IntegrityVerified
from holdfast.common.meta import Meta
from holdfast.common.postgres import Unit
from holdfast.history import store
from holdfast.history.verification import Verdict

# An event has at most 262,144 bytes.
_NAMED_MAX_BYTES = 200_000


def verified(job_id: UUID, verdict: Verdict, at: datetime) -> IntegrityVerified:
    """The verdict as an event. More damage than fits into one is counted, not named."""
    damaged = _fitting(f"{one.path}: {one.reason}" for one in verdict.damage)
    return IntegrityVerified(job_id=job_id, files=verdict.files, bytes=verdict.bytes, damaged=damaged, verified_at=at)


async def record_verification(unit: Unit, verification_id: UUID, event: IntegrityVerified, meta: Meta) -> None:
    """Keep the verdict and tell the others."""
    await store.insert_verification(unit, verification_id, event)
    await outbox.enqueue(unit, event, meta)


def _fitting(lines: Iterable[str]) -> list[str]:
    named: list[str] = []
    left_bytes, unnamed = _NAMED_MAX_BYTES, 0
    for line in lines:
        left_bytes -= len(line.encode()) + 4
        if left_bytes > 0:
            named.append(line)
        else:
            unnamed += 1
    return [*named, f"and {unnamed} more"] if unnamed else named
