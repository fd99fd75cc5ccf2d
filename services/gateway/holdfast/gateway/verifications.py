"""Verifications in progress and the last hundred that ended, in memory.

The verdict itself is an event of the history service (`integrity.verified`); this is only the view of whoever
started one. It ends with the process, and a client that asks then is told to start again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from holdfast.common.clock import Clock, Ids
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.rpc.history.v1 import history_pb2
from holdfast.common.tasks import end_tasks
from holdfast.gateway.models.verifications import Damage, State, Verification

_log = structlog.get_logger("holdfast.gateway")
_KEPT = 100
Stream = Callable[[str], AsyncIterator[history_pb2.VerifyJobResponse]]


@dataclass
class _Entry:
    id: str
    job_id: str
    started_at: datetime
    state: State = "running"
    ended_at: datetime | None = None
    object: str = ""
    parts: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    damage: dict[tuple[str, str], Damage] = field(default_factory=dict)
    reason: str = ""
    proofs: int = 0
    verdict: bool = False

    def take(self, step: history_pb2.VerifyJobResponse) -> None:
        """Fold one message in. Figures are cumulative within an object; damage may be repeated."""
        if step.object:
            self.object = step.object
            self.parts[step.object] = (step.files_done, step.files_total, step.bytes_done)
        for each in step.damage:
            self.damage[each.path, each.reason] = Damage(path=each.path, reason=each.reason)
        self.proofs = step.proofs
        self.verdict = step.done

    def view(self) -> Verification:
        """As the API shows it."""
        parts = self.parts.values()
        return Verification(
            id=self.id,
            job_id=self.job_id,
            state=self.state,
            started_at=self.started_at,
            ended_at=self.ended_at,
            object=self.object,
            objects=len(self.parts),
            files_done=sum(part[0] for part in parts),
            files_total=sum(part[1] for part in parts),
            bytes_done=sum(part[2] for part in parts),
            proofs=self.proofs,
            damage=list(self.damage.values()),
            reason=self.reason,
        )


class Verifications:
    """Starts verifications and knows how far they are."""

    def __init__(self, stream: Stream, clock: Clock, ids: Ids) -> None:
        self._stream = stream
        self._clock = clock
        self._ids = ids
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._by_key: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, job_id: str, key: str) -> Verification:
        """Start verifying a job; the verification already running, if there is one.

        Raises:
            HoldfastError: CONFLICT, `idempotency-key-reused`: the key belongs to another job's verification.
        """
        entry = self._repeat_of(job_id, key) or self._running(job_id) or self._begin(job_id)
        if key:
            self._by_key[key] = entry.id
        return entry.view()

    def get(self, verification_id: str) -> Verification:
        """One verification. Raises HoldfastError (NOT_FOUND)."""
        entry = self._entries.get(verification_id)
        if entry is None:
            sentence = "There is no such verification; the gateway may have restarted since. Start a new one."
            raise HoldfastError(Kind.NOT_FOUND, sentence, code="verification-not-found")
        return entry.view()

    async def stop(self) -> None:
        """End what is running."""
        await end_tasks(list(self._tasks))

    def _repeat_of(self, job_id: str, key: str) -> _Entry | None:
        entry = self._entries.get(self._by_key.get(key, ""))
        if entry is not None and entry.job_id != job_id:
            sentence = "This Idempotency-Key was used for another request; use a new one."
            raise HoldfastError(Kind.CONFLICT, sentence, code="idempotency-key-reused")
        return entry

    def _running(self, job_id: str) -> _Entry | None:
        for entry in self._entries.values():
            if entry.job_id == job_id and entry.state == "running":
                return entry
        return None

    def _begin(self, job_id: str) -> _Entry:
        entry = _Entry(str(self._ids.new()), job_id, self._clock.now())
        self._entries[entry.id] = entry
        self._forget_oldest()
        task = asyncio.create_task(self._follow(entry), name=f"verify {job_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return entry

    def _forget_oldest(self) -> None:
        ended = [entry.id for entry in self._entries.values() if entry.state != "running"]
        for old in ended[: max(0, len(self._entries) - _KEPT)]:
            del self._entries[old]
        self._by_key = {key: kept for key, kept in self._by_key.items() if kept in self._entries}

    async def _follow(self, entry: _Entry) -> None:
        try:
            async for step in self._stream(entry.job_id):
                entry.take(step)
            if entry.verdict:
                entry.state = "damaged" if entry.damage else "intact"
            else:
                entry.state, entry.reason = "failed", "The verification ended before it had read everything."
        except HoldfastError as error:
            entry.state, entry.reason = "failed", error.message
        except asyncio.CancelledError:
            entry.state, entry.reason = "failed", "The gateway stopped."
            raise
        except Exception as error:
            entry.state, entry.reason = (
                "failed",
                "Something went wrong inside Holdfast; the gateway's log says what.",
            )
            _log.error("verification failed unexpectedly", job_id=entry.job_id, exc_info=error)
        finally:
            entry.ended_at = self._clock.now()
