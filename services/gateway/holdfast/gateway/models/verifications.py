"""Verifications of a job's vault."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from holdfast.gateway.models.base import Command, Resource

State = Literal["running", "intact", "damaged", "failed"]


class StartVerification(Command):
    """Read every file, chain entry and signed proof of a job again. Takes no parameters."""


class Damage(Resource):
    """A file that does not hold what was written."""

    path: str
    reason: str


class Verification(Resource):
    """A verification, running or ended. The gateway keeps the last hundred until it restarts."""

    id: str
    job_id: str
    state: State
    started_at: datetime
    ended_at: datetime | None
    object: str = Field(description="The object being read.")
    objects: int = Field(description="Objects seen so far.")
    files_done: int
    files_total: int
    bytes_done: int
    proofs: int = Field(default=0, description="Signed proofs that were read; known at the end.")
    damage: list[Damage]
    reason: str = Field(description="Why it failed; empty unless `state` is `failed`.")
