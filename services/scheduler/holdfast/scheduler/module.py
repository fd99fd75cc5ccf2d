"""The only place where the scheduler is wired."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import grpc.aio

from holdfast.common.contracts import scheduler as public
from holdfast.common.grpc import Server, channel
from holdfast.common.leases import Leases
from holdfast.common.loops import Loop
from holdfast.common.messaging import Bus
from holdfast.common.postgres import Database
from holdfast.common.rpc.connections.v1.connections_pb2_grpc import ConnectionsServiceStub
from holdfast.common.rpc.extractor.v1.extractor_pb2_grpc import ExtractorServiceStub
from holdfast.common.rpc.scheduler.v1.scheduler_pb2_grpc import add_SchedulerServiceServicer_to_server
from holdfast.common.service import Module, Platform, ServiceModule
from holdfast.common.wakeup import Signal
from holdfast.scheduler.consumers import Reports
from holdfast.scheduler.due_slots import DueSlots
from holdfast.scheduler.grpc import SchedulerServicer
from holdfast.scheduler.peers import Peers
from holdfast.scheduler.settings import SchedulerSettings
from holdfast.scheduler.silence import Silence

NAME = "scheduler"
SILENCE_POLL = timedelta(minutes=1)


class SchedulerModule(ServiceModule):
    """The usual service, which hands the slots over when it stops."""

    def __init__(
        self,
        db: Database,
        bus: Bus,
        server: Server,
        loops: Sequence[Loop],
        due: DueSlots,
        silence: Silence,
        channels: Sequence[grpc.aio.Channel],
    ) -> None:
        super().__init__(NAME, db, bus, server, loops, channels)
        self._due = due
        self._silence = silence

    def health(self) -> dict[str, object]:
        """The usual, and the runs of which nothing is heard any more; they do not make the service unhealthy."""
        return {**super().health(), "silent_runs": [str(run_id) for run_id in self._silence.runs]}

    async def stop(self) -> None:
        """Let another scheduler fire slots at once, then stop as usual."""
        await self._due.release()
        await super().stop()


async def build(platform: Platform) -> Module:
    """The scheduler on that platform, not started yet; its tables are migrated."""
    settings = SchedulerSettings.model_validate(platform.settings.model_dump())
    clock, ids = platform.clock, platform.ids
    db = await Database.open(settings.postgres, NAME, clock=clock)
    await db.migrate("holdfast.scheduler")
    slots = Signal()
    bus = Bus(settings, NAME, db, clock, holder=platform.holder)
    bus.publishes(public.JobCreated, public.RunRequested, public.RunCompleted, public.RunPartial, public.RunFailed)
    bus.publishes(public.RunPaused, public.RunResumed, public.RunCancelled)
    Reports(clock, slots).subscribe(bus)
    connections = channel(settings, settings.connections_grpc)
    extractor = channel(settings, settings.extractor_grpc)
    peers = Peers(ConnectionsServiceStub(connections), ExtractorServiceStub(extractor), settings.scheduler_peer_timeout)
    servicer = SchedulerServicer(db, peers, clock, ids, slots)
    server = Server(settings, settings.scheduler_grpc)
    server.add(lambda endpoint: add_SchedulerServiceServicer_to_server(servicer, endpoint))
    due = DueSlots(db, Leases(db, clock, platform.holder), clock, ids, settings.scheduler_slot_lease)
    loop = Loop("scheduler.due_slots", due.fire_one, slots, settings.scheduler_slot_poll, clock)
    silence = Silence(db, settings.scheduler_run_silence)
    watch = Loop("scheduler.silent_runs", silence.look, Signal(), SILENCE_POLL, clock)
    return SchedulerModule(db, bus, server, [loop, watch], due, silence, [connections, extractor])
