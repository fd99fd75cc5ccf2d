"""Events the scheduler follows: how far the extractor and the differ are with each run."""

from __future__ import annotations

from holdfast.common.clock import Clock
from holdfast.common.contracts.differ import ObjectDiffed, ObjectGivenUp
from holdfast.common.contracts.extractor import (
    ExtractionPlanned,
    ExtractionRefused,
    FilesQueued,
    FilesSettled,
    ObjectExtracted,
    ObjectFailed,
)
from holdfast.common.messaging import Bus
from holdfast.common.meta import Meta
from holdfast.common.postgres import Unit
from holdfast.common.wakeup import Signal
from holdfast.scheduler import handlers
from holdfast.scheduler.steps import (
    DIFF_FOLDED,
    FILES_NOTED,
    GIVING_UP_FOLDED,
    LOSS_FOLDED,
    PLAN_FOLDED,
    READ_NOTED,
    REFUSAL_FOLDED,
)


class Reports:
    """Handlers of the reports. Each runs in the transaction of its message, and may see it again."""

    def __init__(self, clock: Clock, slots: Signal) -> None:
        """`slots` is woken after each report that may end a run: a slot may have waited for that end."""
        self._clock = clock
        self._slots = slots

    def subscribe(self, bus: Bus) -> None:
        """Declare the subscriptions; call before the bus starts."""
        bus.consume(ExtractionPlanned, self.planned, step=PLAN_FOLDED)
        bus.consume(ExtractionRefused, self.refused, step=REFUSAL_FOLDED)
        bus.consume(ObjectExtracted, self.extracted, step=READ_NOTED)
        bus.consume(FilesQueued, self.files, step=FILES_NOTED)
        bus.consume(FilesSettled, self.files, step=FILES_NOTED)
        bus.consume(ObjectFailed, self.failed, step=LOSS_FOLDED)
        bus.consume(ObjectDiffed, self.diffed, step=DIFF_FOLDED)
        bus.consume(ObjectGivenUp, self.failed, step=GIVING_UP_FOLDED)

    async def planned(self, unit: Unit, event: ExtractionPlanned, meta: Meta) -> None:
        """The run's objects are known."""
        await handlers.accept_plan(unit, event, meta, self._clock.now())
        unit.after_commit(self._slots.set)

    async def refused(self, unit: Unit, event: ExtractionRefused, meta: Meta) -> None:
        """The run cannot be planned."""
        await handlers.refuse_run(unit, event, meta, self._clock.now())
        unit.after_commit(self._slots.set)

    async def extracted(self, unit: Unit, event: ObjectExtracted, meta: Meta) -> None:
        """An object is read."""
        await handlers.note_read(unit, event)

    async def files(self, unit: Unit, event: FilesQueued | FilesSettled, meta: Meta) -> None:
        """Files of a run are to be fetched, or all are settled."""
        await handlers.note_files(unit, event)

    async def failed(self, unit: Unit, event: ObjectFailed | ObjectGivenUp, meta: Meta) -> None:
        """An object could not be read, or not be brought into the vault."""
        await handlers.lose_object(unit, event, meta, self._clock.now())
        unit.after_commit(self._slots.set)

    async def diffed(self, unit: Unit, event: ObjectDiffed, meta: Meta) -> None:
        """An object is in the vault."""
        await handlers.hold_object(unit, event, meta, self._clock.now())
        unit.after_commit(self._slots.set)
