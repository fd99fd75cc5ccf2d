"""What the extractor hears on Kafka: runs to plan, and what was lost after it was read. Leased loops do the work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from holdfast.common.contracts.differ import BodiesGivenUp, ObjectDiffed, ObjectDoubted, ObjectGivenUp
from holdfast.common.contracts.scheduler import RunCancelled, RunPaused, RunRequested, RunResumed
from holdfast.common.messaging import Bus
from holdfast.common.meta import Meta
from holdfast.common.postgres import Unit
from holdfast.extractor import store
from holdfast.extractor.files.losing import lose_page
from holdfast.extractor.files.steps import BODIES_LOST
from holdfast.extractor.passes import begin_pass
from holdfast.extractor.settings import ExtractorSettings
from holdfast.extractor.steps import LOSS_NOTED, MISMATCH_NOTED, PASS_BEGUN, RUN_ORDERED, RUN_RECEIVED


class Desk(Protocol):
    """The loops that work on runs, as far as events concern them."""

    def wake(self) -> None:
        """There may be something new to do."""

    def check(self) -> None:
        """Some work may no longer be wanted: look at once, do not wait for the watch."""

    def attach(self) -> None:
        """Files may have to be attached."""


def consume(bus: Bus, wake_planner: Callable[[], None], desk: Desk, settings: ExtractorSettings) -> None:
    """Declare the consumers; call before the bus starts."""

    async def run_requested(unit: Unit, event: RunRequested, meta: Meta) -> None:
        await store.receive_run(unit, event, meta)
        unit.after_commit(wake_planner)

    async def object_given_up(unit: Unit, event: ObjectGivenUp, meta: Meta) -> None:
        await store.note_loss(unit, event)

    async def bodies_given_up(unit: Unit, event: BodiesGivenUp, meta: Meta) -> None:
        await lose_page(unit, event)
        unit.after_commit(desk.attach)

    async def object_doubted(unit: Unit, event: ObjectDoubted, meta: Meta) -> None:
        if await begin_pass(unit, event, settings):
            unit.after_commit(desk.wake)

    async def object_diffed(unit: Unit, event: ObjectDiffed, meta: Meta) -> None:
        await store.note_outcome(unit, event)

    async def run_paused(unit: Unit, event: RunPaused, meta: Meta) -> None:
        await store.pause_run(unit, event.run_id)
        unit.after_commit(desk.check)

    async def run_resumed(unit: Unit, event: RunResumed, meta: Meta) -> None:
        await store.resume_run(unit, event.run_id)
        unit.after_commit(desk.wake)

    async def run_cancelled(unit: Unit, event: RunCancelled, meta: Meta) -> None:
        await store.cancel_run(unit, event.run_id)
        unit.after_commit(desk.check)

    bus.consume(RunPaused, run_paused, step=RUN_ORDERED)
    bus.consume(RunResumed, run_resumed, step=RUN_ORDERED)
    bus.consume(RunCancelled, run_cancelled, step=RUN_ORDERED)
    bus.consume(RunRequested, run_requested, step=RUN_RECEIVED)
    bus.consume(ObjectGivenUp, object_given_up, step=LOSS_NOTED)
    bus.consume(BodiesGivenUp, bodies_given_up, step=BODIES_LOST)
    bus.consume(ObjectDoubted, object_doubted, step=PASS_BEGUN)
    bus.consume(ObjectDiffed, object_diffed, step=MISMATCH_NOTED)
