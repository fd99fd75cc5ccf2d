"""The only place where the extractor is wired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import grpc.aio

from holdfast.common.contracts.extractor import (
    ExtractionPlanned,
    ExtractionRefused,
    FilesQueued,
    FilesSettled,
    ObjectExtracted,
    ObjectFailed,
    PageStaged,
)
from holdfast.common.grpc import Server, channel
from holdfast.common.loops import Loop
from holdfast.common.messaging import Bus
from holdfast.common.postgres import Database
from holdfast.common.rpc.extractor.v1.extractor_pb2_grpc import add_ExtractorServiceServicer_to_server
from holdfast.common.service import Module, Platform, ServiceModule
from holdfast.common.wakeup import Signal
from holdfast.extractor.aborting import Aborts
from holdfast.extractor.closing import Closer
from holdfast.extractor.connections import ConnectionsPort
from holdfast.extractor.consumers import consume
from holdfast.extractor.counting import Counter, counting_part
from holdfast.extractor.dispatch import Dispatcher
from holdfast.extractor.drafting import Drafter
from holdfast.extractor.files.module import FileRooms, open_files
from holdfast.extractor.grpc import ExtractorService
from holdfast.extractor.leased_rows import RunRows, TaskRows, release_own
from holdfast.extractor.org import Orgs
from holdfast.extractor.patience import Patience
from holdfast.extractor.planner import Planner
from holdfast.extractor.plans import Plans
from holdfast.extractor.probing import Prober
from holdfast.extractor.progress import Outlook
from holdfast.extractor.settings import ExtractorSettings
from holdfast.extractor.sources import Sources
from holdfast.extractor.staging import Staging
from holdfast.extractor.store import RunClaim, TaskClaim
from holdfast.extractor.together import Together
from holdfast.extractor.views import Views
from holdfast.extractor.worker import Worker

NAME = "extractor"
# One report a second keeps the org's ledger fresh enough to plan by.
USAGE_PAUSE = timedelta(seconds=1)
ABORT_POLL = timedelta(seconds=30)


@dataclass(frozen=True)
class Rooms:
    """The parts of a running extractor."""

    db: Database
    bus: Bus
    server: Server
    channels: Sequence[grpc.aio.Channel]
    orgs: Orgs
    staging: Staging
    planners: Dispatcher[RunClaim]
    workers: Dispatcher[TaskClaim]
    usage: Loop
    aborts: Loop
    files: FileRooms


class ExtractorModule(ServiceModule):
    """The service, and what it must tidy up when it starts and stops."""

    def __init__(self, rooms: Rooms, platform: Platform) -> None:
        super().__init__(
            NAME,
            rooms.db,
            rooms.bus,
            rooms.server,
            [rooms.planners, rooms.workers, rooms.usage, rooms.aborts, *rooms.files.loops],
            rooms.channels,
        )
        self._rooms = rooms
        self._holder = platform.holder

    async def start(self) -> None:
        """Take back what an earlier life of this process held, then serve."""
        self._rooms.staging.clean()
        self._rooms.files.worker.clean()
        await release_own(self._rooms.db, self._holder)
        await super().start()

    async def stop(self) -> None:
        """Report the last calls and close the connections to the orgs, then the usual."""
        await self._rooms.orgs.close()
        await super().stop()


async def build(platform: Platform) -> Module:
    """Make the service; nothing is consumed or served until it is started."""
    settings = ExtractorSettings.model_validate(platform.settings.model_dump())
    db = await Database.open(settings.postgres, NAME, clock=platform.clock)
    await db.migrate("holdfast.extractor")
    connections = channel(settings, settings.connections_grpc)
    orgs = Orgs(
        ConnectionsPort(connections),
        platform.clock,
        caller=f"{platform.holder}/{platform.ids.new()}",
        concurrency=settings.extractor_fetches + settings.extractor_describes + settings.extractor_files_at_once,
        allow_insecure=settings.allow_insecure_salesforce,
    )
    return ExtractorModule(_rooms(platform, settings, db, orgs, connections), platform)


def _rooms(
    platform: Platform, settings: ExtractorSettings, db: Database, orgs: Orgs, connections: grpc.aio.Channel
) -> Rooms:
    staging = Staging(
        db,
        platform.store,
        platform.clock,
        settings.data / "extractor" / "scratch",
        transforms=settings.extractor_transforms,
        pages_in_memory=settings.extractor_pages_in_memory,
    )
    worker, workers = _workers(platform, settings, db, orgs, staging)
    planners = _planners(platform, settings, db, orgs, workers.signal)
    bus = Bus(settings, NAME, db, platform.clock, holder=platform.holder)
    bus.publishes(ExtractionPlanned, ExtractionRefused, PageStaged, ObjectExtracted, ObjectFailed)
    bus.publishes(FilesQueued, FilesSettled)
    files = open_files(platform, settings, db, orgs)
    abort_signal = Signal()
    consume(bus, planners.signal.set, Desk(planners, workers, abort_signal, files.attach), settings)
    server = Server(settings, settings.extractor_grpc)
    outlook = Outlook(ConnectionsPort(connections), platform.clock)
    plans = Plans(orgs, Drafter(db, orgs, settings, platform.clock), outlook)
    service = ExtractorService(db, orgs, worker.live_calls, outlook, plans)
    server.add(lambda registry: add_ExtractorServiceServicer_to_server(service, registry))
    usage = Loop("usage", orgs.ledger.report, Signal(), USAGE_PAUSE, platform.clock)
    aborts = Loop("aborts", Aborts(db, orgs).stop_one, abort_signal, ABORT_POLL, platform.clock)
    return Rooms(db, bus, server, [connections], orgs, staging, planners, workers, usage, aborts, files)


@dataclass(frozen=True)
class Desk:
    """The loops that work on runs."""

    planners: Dispatcher[RunClaim]
    workers: Dispatcher[TaskClaim]
    aborts: Signal
    bodies: Signal

    def wake(self) -> None:
        """There may be something new to do."""
        self.planners.signal.set()
        self.workers.signal.set()

    def check(self) -> None:
        """Some work may no longer be wanted."""
        self.planners.check()
        self.workers.check()
        self.aborts.set()

    def attach(self) -> None:
        """Files may have to be attached."""
        self.bodies.set()


def _patience(settings: ExtractorSettings) -> Patience:
    return Patience(
        first=settings.extractor_retry_first,
        passing=settings.extractor_patience,
    )


def _workers(
    platform: Platform, settings: ExtractorSettings, db: Database, orgs: Orgs, staging: Staging
) -> tuple[Worker, Dispatcher[TaskClaim]]:
    together = Together(orgs, settings.extractor_count_window, settings.extractor_count_patience)
    worker = Worker(
        db=db,
        orgs=orgs,
        staging=staging,
        closer=Closer(db, Counter(together, orgs, platform.clock), Views(orgs, together), settings, platform.clock),
        settings=settings,
        patience=_patience(settings),
        sources=Sources(db, settings, Prober(db, platform.clock, platform.holder, counting_part), platform.clock),
        together=together,
        clock=platform.clock,
    )
    dispatcher = Dispatcher(
        "workers",
        TaskRows(db, platform.holder, settings.extractor_lease),
        worker.read,
        slots=settings.extractor_fetches,
        lease=settings.extractor_lease,
        poll=settings.extractor_poll,
        clock=platform.clock,
    )
    return worker, dispatcher


def _planners(
    platform: Platform, settings: ExtractorSettings, db: Database, orgs: Orgs, wake_workers: Signal
) -> Dispatcher[RunClaim]:
    planner = Planner(
        db=db,
        orgs=orgs,
        drafter=Drafter(db, orgs, settings, platform.clock),
        ids=platform.ids,
        patience=_patience(settings),
        wake_workers=wake_workers,
    )
    return Dispatcher(
        "planners",
        RunRows(db, platform.holder, settings.extractor_lease),
        planner.plan,
        slots=settings.extractor_plans,
        lease=settings.extractor_lease,
        poll=settings.extractor_poll,
        clock=platform.clock,
    )
