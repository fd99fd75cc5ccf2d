"""The only place where the scheduler is wired."""

from __future__ import annotations

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

NAME = "scheduler"


async def build(platform: Platform) -> Module:
    """The scheduler on that platform, not started yet; its tables are migrated."""
    settings = SchedulerSettings.model_validate(platform.settings.model_dump())
    db = await Database.open(settings.postgres, NAME)
    await db.migrate("holdfast.scheduler")
    bus = Bus(settings, NAME, db, platform.clock)
    slots = Signal()
    Reports(platform.clock, slots).subscribe(bus)
    peers = Peers(
        ConnectionsServiceStub(channel(settings, settings.connections_grpc)),
        ExtractorServiceStub(channel(settings, settings.extractor_grpc)),
        settings.scheduler_peer_timeout,
    )
    server = Server(settings, settings.scheduler_grpc)
    servicer = SchedulerServicer(db, peers, platform.clock, platform.ids)
    server.add(lambda grpc_server: add_SchedulerServiceServicer_to_server(servicer, grpc_server))
    leases = Leases(db, platform.clock, platform.holder)
    due = DueSlots(db, leases, platform.clock, platform.ids, settings.scheduler_slot_lease)
    loop = Loop("scheduler.due_slots", due.fire_one, slots, settings.scheduler_slot_poll)
    return ServiceModule(NAME, db, bus, server, [loop])
