"""What the extractor hears on Kafka: runs to plan, and what was lost after it was read. Leased loops do the work."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.common.contracts.differ import ObjectGivenUp
from holdfast.common.contracts.scheduler import RunRequested
from holdfast.common.messaging import Bus
from holdfast.common.meta import Meta
from holdfast.common.postgres import Unit
from holdfast.extractor import store
from holdfast.extractor.steps import LOSS_NOTED, RUN_RECEIVED


def consume(bus: Bus, wake_planner: Callable[[], None]) -> None:
    """Declare the consumers; call before the bus starts."""

    async def run_requested(unit: Unit, event: RunRequested, meta: Meta) -> None:
        await store.receive_run(unit, event, meta)
        unit.after_commit(wake_planner)

    async def object_given_up(unit: Unit, event: ObjectGivenUp, meta: Meta) -> None:
        await store.note_loss(unit, event)

    bus.consume(RunRequested, run_requested, step=RUN_RECEIVED)
    bus.consume(ObjectGivenUp, object_given_up, step=LOSS_NOTED)
