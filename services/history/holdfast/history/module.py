"""The only place where history is wired."""

from __future__ import annotations

from holdfast.common.contracts.history import IntegrityVerified
from holdfast.common.grpc import Server, channel
from holdfast.common.messaging import Bus
from holdfast.common.postgres import Database
from holdfast.common.rpc.differ.v1.differ_pb2_grpc import DifferServiceStub
from holdfast.common.rpc.history.v1.history_pb2_grpc import add_HistoryServiceServicer_to_server
from holdfast.common.rpc.scheduler.v1.scheduler_pb2_grpc import SchedulerServiceStub
from holdfast.common.service import Module, Platform, ServiceModule
from holdfast.history import consumers
from holdfast.history.grpc import HistoryServicer
from holdfast.history.peers import Peers
from holdfast.history.settings import HistorySettings
from holdfast.vault.signing import signing_key

NAME = "history"


async def build(platform: Platform) -> Module:
    """History on that platform, not started yet; its tables are migrated."""
    settings = HistorySettings.model_validate(platform.settings.model_dump())
    db = await Database.open(settings.postgres, NAME, clock=platform.clock)
    await db.migrate("holdfast.history")
    bus = Bus(settings, NAME, db, platform.clock, holder=platform.holder)
    bus.publishes(IntegrityVerified)
    consumers.subscribe(bus)
    differ = channel(settings, settings.differ_grpc)
    scheduler = channel(settings, settings.scheduler_grpc)
    peers = Peers(DifferServiceStub(differ), SchedulerServiceStub(scheduler), settings.history_peer_timeout)
    servicer = HistoryServicer(
        db,
        platform.store,
        peers,
        signing_key(settings.envelope_key()).public_key(),
        clock=platform.clock,
        ids=platform.ids,
    )
    server = Server(settings, settings.history_grpc)
    server.add(lambda endpoint: add_HistoryServiceServicer_to_server(servicer, endpoint))
    return ServiceModule(NAME, db, bus, server, channels=[differ, scheduler])
