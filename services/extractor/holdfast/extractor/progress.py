"""How far a run is, in the words of the gRPC interface: what it waits for, and when it will end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from holdfast.common.clock import Clock
from holdfast.common.errors import HoldfastError
from holdfast.common.postgres import Record
from holdfast.common.rpc.extractor.v1 import extractor_pb2 as messages
from holdfast.extractor.forecast import Forecast, Standing, forecast

# Who follows a run asks several times a second; an org's budget moves slower.
STANDING_KEPT_S = 5.0


class Budgets(Protocol):
    """Tells how an org's budget stands."""

    async def standing(self, connection_id: UUID, percent: int) -> Standing:
        """For records, with this limit."""


class Outlook:
    """What a run waits for, and when it will end."""

    def __init__(self, budgets: Budgets, clock: Clock) -> None:
        self._budgets = budgets
        self._clock = clock
        self._known: dict[tuple[UUID, int], tuple[float, Standing | None]] = {}

    def waiting(self, run: Record, tasks: Sequence[Record]) -> messages.Wait | None:
        """Why and until when the run waits; None while somebody works on it, or nothing of it waits for a limit."""
        rows = [run] if run["state"] == "waiting" else [task for task in tasks if task["state"] == "waiting"]
        waits = [row for row in rows if row["wait_reason"]]
        if not waits or run["paused"] or any(row["holder"] for row in rows):
            return None
        first = min(waits, key=lambda row: row["not_before"])
        wait = messages.Wait(reason=first["wait_reason"])
        wait.next_look_at.FromDatetime(first["not_before"])
        known = [row["wait_until"] for row in waits if row["wait_until"] is not None]
        if known:
            wait.until.FromDatetime(min(known))
        return wait

    async def forecast(self, run: Record, tasks: Sequence[Record], calls: int) -> messages.Forecast | None:
        """When the run will end; None once it has, before it is planned, and while the budget is not known."""
        open_tasks = [task for task in tasks if task["state"] == "waiting"]
        if run["state"] != "planned" or not open_tasks:
            return None
        standing = await self.standing(run["connection_id"], run["api_limit_percent"])
        if standing is None:
            return None
        left = sum(max(1, task["estimated_calls"] - task["api_calls"]) for task in open_tasks)
        now = self._clock.now()
        elapsed = max(timedelta(seconds=1), now - run["received_at"])
        return _message(forecast(left, calls, elapsed, standing, run["api_limit_percent"], now))

    async def standing(self, connection_id: UUID, percent: int) -> Standing | None:
        """An org's budget for records, a few seconds old at most; None while it is not known."""
        now = self._clock.monotonic()
        kept_until, known = self._known.get((connection_id, percent), (0.0, None))
        if now < kept_until:
            return known
        try:
            known = await self._budgets.standing(connection_id, percent)
        except HoldfastError:
            known = None  # a run is shown without a forecast rather than not at all
        self._known[connection_id, percent] = (now + STANDING_KEPT_S, known)
        return known


def _message(found: Forecast) -> messages.Forecast:
    message = messages.Forecast(calls_left=found.calls_left, sentence=found.sentence)
    if found.ends_at is not None:
        message.ends_at.FromDatetime(found.ends_at)
    return message


def state_of(state: str, objects: Sequence[messages.ObjectRead], waiting: messages.Wait | None) -> str:
    """The run's state in one word."""
    if waiting is not None:
        return "waiting"
    if state == "waiting":
        return "planning"
    if state in ("refused", "cancelled"):
        return state
    return "done" if all(item.state in ("extracted", "failed") for item in objects) else "reading"
