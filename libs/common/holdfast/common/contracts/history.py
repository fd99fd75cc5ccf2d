"""Events of the `history` service."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from holdfast.common.contracts.base import PublicEvent


class IntegrityVerified(PublicEvent):
    """A verification of a job's vault ended. `damaged` names every file or commit that failed."""

    TYPE: ClassVar[str] = "holdfast.history.integrity.verified.v1"
    job_id: UUID
    files: int
    bytes: int
    damaged: list[str]
    verified_at: datetime

    def key(self) -> str:
        return str(self.job_id)
