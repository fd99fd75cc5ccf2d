"""The only place where the differ is wired."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from holdfast.common.contracts.differ import (
    BodiesGivenUp,
    ChangesCommitted,
    ObjectDiffed,
    ObjectDoubted,
    ObjectGivenUp,
    RecordChanged,
)
from holdfast.common.grpc import Server
from holdfast.common.leases import Leases
from holdfast.common.loops import Loop
from holdfast.common.messaging import Bus
from holdfast.common.postgres import Database
from holdfast.common.rpc.differ.v1.differ_pb2_grpc import add_DifferServiceServicer_to_server
from holdfast.common.service import Module, Platform, ServiceModule
from holdfast.common.wakeup import Signal
from holdfast.differ import consumers
from holdfast.differ.committing import Committer
from holdfast.differ.completing import Completer
from holdfast.differ.feeding import Feeder
from holdfast.differ.grpc import DifferServicer
from holdfast.differ.losing import Losses
from holdfast.differ.settings import DifferSettings
from holdfast.differ.tables import Tables
from holdfast.differ.upkeep import Upkeep
from holdfast.differ.worker import Worker
from holdfast.vault.compaction import Policy
from holdfast.vault.location import VaultRoot
from holdfast.vault.signing import signing_key

NAME = "differ"


class DifferModule(ServiceModule):
    """The service; its table tasks end before its database closes."""

    def __init__(self, db: Database, bus: Bus, server: Server, worker: Worker, loop: Loop, leases: Leases) -> None:
        super().__init__(NAME, db, bus, server, [loop])
        self._worker, self._leases = worker, leases

    async def start(self) -> None:
        """Take back the tables that an earlier life of this process held, then serve."""
        await self._leases.release_left_over()
        await super().start()

    async def stop(self) -> None:
        await self._worker.stop()
        await super().stop()


async def build(platform: Platform) -> Module:
    """Make the service; nothing is consumed or served until it is started."""
    settings = DifferSettings.model_validate(platform.settings.model_dump())
    db = await Database.open(settings.postgres, NAME, max_size=settings.differ_tables + 6, clock=platform.clock)
    await db.migrate("holdfast.differ")
    bus = Bus(settings, NAME, db, platform.clock, holder=platform.holder)
    bus.publishes(ChangesCommitted, ObjectDiffed, ObjectDoubted, ObjectGivenUp, BodiesGivenUp, RecordChanged)
    wake = Signal()
    consumers.declare(bus, wake.set)
    leases = Leases(db, platform.clock, platform.holder)
    worker = _worker(platform, settings, db, bus, wake, leases)
    server = Server(settings, settings.differ_grpc)
    server.add(lambda registry: add_DifferServiceServicer_to_server(DifferServicer(db), registry))
    poll = timedelta(milliseconds=settings.differ_poll_ms)
    loop = Loop("differ.tables", worker.dispatch, wake, poll)
    return DifferModule(db, bus, server, worker, loop, leases)


def _worker(
    platform: Platform, settings: DifferSettings, db: Database, bus: Bus, wake: Signal, leases: Leases
) -> Worker:
    root = VaultRoot.of(platform.store)
    tables = Tables(root, signing_key(settings.envelope_key()), keep=settings.differ_tables)
    cpu = asyncio.Semaphore(settings.differ_cpu_slots)
    upkeep = Upkeep(
        db,
        tables,
        cpu,
        platform.clock,
        policy=Policy(fewest=settings.differ_compact_files),
        grace=settings.differ_replaced_grace,
        check_every=settings.differ_index_check,
    )
    return Worker(
        db,
        leases,
        wake,
        committer=Committer(db, tables, cpu),
        completer=Completer(
            db, tables, platform.store, platform.clock, settings.mass_rule, settings.differ_most_passes
        ),
        feeder=Feeder(db, bus, root),
        losses=Losses(db, settings.differ_give_up_after),
        upkeep=upkeep,
        tables=settings.differ_tables,
        lease_ttl=timedelta(seconds=settings.differ_lease_s),
    )
