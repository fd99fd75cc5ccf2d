"""A running scheduler on real Postgres and Kafka, with stand-ins for the services it asks."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from holdfast.common.clock import SystemClock, TimeOrderedIds
from holdfast.common.contracts.base import PublicEvent
from holdfast.common.contracts.scheduler import JobCreated, RunCompleted, RunFailed, RunPartial, RunRequested
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import durable_step
from holdfast.common.grpc import Server, call, channel
from holdfast.common.messaging import Bus
from holdfast.common.meta import Meta
from holdfast.common.objectstore import open_store
from holdfast.common.outbox import enqueue
from holdfast.common.postgres import Database, Unit
from holdfast.common.rpc.connections.v1 import connections_pb2, connections_pb2_grpc
from holdfast.common.rpc.extractor.v1 import extractor_pb2, extractor_pb2_grpc
from holdfast.common.rpc.scheduler.v1 import scheduler_pb2_grpc
from holdfast.common.service import Platform, started
from holdfast.common.settings import Settings
from holdfast.launcher.stack.process import free_ports
from holdfast.scheduler.module import build

CONNECTION = UUID(int=77)
PEER_SENT = durable_step("test.scheduler_peer_sent")
PEER_HEARD = {
    event: durable_step(f"test.scheduler_heard_{event.__name__}")
    for event in (JobCreated, RunRequested, RunCompleted, RunPartial, RunFailed)
}


class Connections(connections_pb2_grpc.ConnectionsServiceServicer):
    """Knows one connection."""

    async def GetConnection(self, request: Any, context: Any) -> Any:
        if request.id not in (str(CONNECTION), "prod"):
            raise HoldfastError(Kind.NOT_FOUND, f"There is no connection {request.id!r}.", code="unknown-connection")
        return connections_pb2.GetConnectionResponse(connection=connections_pb2.Connection(id=str(CONNECTION)))


@dataclass
class Extractor(extractor_pb2_grpc.ExtractorServiceServicer):
    """Offers what the test says, or cannot reach the org."""

    unreachable: bool = False
    blind: bool = False
    offered: list[Any] = field(
        default_factory=lambda: [
            extractor_pb2.OrgObject(name="Account", recommended=True),
            extractor_pb2.OrgObject(name="Contact", recommended=True),
            extractor_pb2.OrgObject(name="Secret__c", unreadable=True, reason="The user may not read it."),
        ]
    )

    async def CheckVisibility(self, request: Any, context: Any) -> Any:
        if self.blind:
            raise HoldfastError(Kind.TIMEOUT, "The org is slow.")
        hidden = [name for name in request.objects if name == "Contact"]
        return extractor_pb2.CheckVisibilityResponse(warnings=[f"The user cannot see 1 field of {n}." for n in hidden])

    async def ListObjects(self, request: Any, context: Any) -> Any:
        if self.unreachable:
            raise HoldfastError(Kind.UNAVAILABLE, "The org cannot be reached.")
        return extractor_pb2.ListObjectsResponse(objects=self.offered)


class Others:
    """All other services on Kafka: sends their events, hears the scheduler's."""

    def __init__(self, settings: Settings, db: Database) -> None:
        self._db = db
        self._came = asyncio.Condition()
        self.heard: list[PublicEvent] = []
        self.bus = Bus(settings, "others", db, SystemClock())
        for event, step in PEER_HEARD.items():
            self.bus.consume(event, self._hear, step=step)

    async def _hear(self, unit: Unit, event: PublicEvent, meta: Meta) -> None:
        async with self._came:
            self.heard.append(event)
            self._came.notify_all()

    async def send(self, *events: PublicEvent) -> None:
        meta = Meta(correlation_id=uuid4(), causation_id=None, actor="test")
        async with self._db.unit(PEER_SENT) as unit:
            for event in events:
                await enqueue(unit, event, meta)

    async def hears(self, wanted: Callable[[PublicEvent], bool]) -> PublicEvent:
        """The first event that is wanted, waiting for it."""
        async with asyncio.timeout(30), self._came:
            await self._came.wait_for(lambda: any(wanted(event) for event in self.heard))
            return next(event for event in self.heard if wanted(event))


class ShiftedClock(SystemClock):
    """The machine's clock, put forward by the test."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


@dataclass
class Running:
    """The scheduler, seen from outside."""

    stub: Any
    others: Others
    extractor: Extractor
    clock: ShiftedClock

    async def ask(self, method: str, request: Any) -> Any:
        return await call(getattr(self.stub, method), request)


@pytest.fixture(scope="session")
def postgres_template(migrated_template: Callable[..., str]) -> str:
    """Every test begins with the tables that it would migrate first."""
    return migrated_template({"scheduler": ["holdfast.scheduler"], "others": []})


@pytest.fixture
async def scheduler(postgres_dsn: str, kafka_servers: str, tmp_path: Path) -> AsyncIterator[Running]:
    ports = free_ports([], 3)
    settings = Settings(
        kafka=kafka_servers,
        kafka_prefix=f"t{uuid4().hex[:8]}.",
        kafka_partitions=2,
        postgres=postgres_dsn,
        object_store=tmp_path.as_uri(),
        internal_token="token",
        secret_key=base64.b64encode(bytes(32)).decode(),
        scheduler_grpc=f"127.0.0.1:{ports[0]}",
        connections_grpc=f"127.0.0.1:{ports[1]}",
        extractor_grpc=f"127.0.0.1:{ports[2]}",
    )
    extractor, clock = Extractor(), ShiftedClock()
    async with AsyncExitStack() as cleanup:
        for address, add, servicer in (
            (settings.connections_grpc, connections_pb2_grpc.add_ConnectionsServiceServicer_to_server, Connections()),
            (settings.extractor_grpc, extractor_pb2_grpc.add_ExtractorServiceServicer_to_server, extractor),
        ):
            server = Server(settings, address)
            server.add(lambda endpoint, add=add, servicer=servicer: add(servicer, endpoint))
            await server.start()
            cleanup.push_async_callback(server.stop)
        db = await Database.open(postgres_dsn, "others")
        cleanup.push_async_callback(db.close)
        await db.migrate()
        store = await open_store(settings)
        module = await build(Platform(settings, store, clock, TimeOrderedIds(), "test"))
        await cleanup.enter_async_context(started([module]))
        work = asyncio.create_task(module.run())
        cleanup.callback(work.cancel)
        others = Others(settings, db)
        await others.bus.start()
        cleanup.push_async_callback(others.bus.stop)
        to_scheduler = channel(settings, settings.scheduler_grpc)
        cleanup.push_async_callback(to_scheduler.close, None)
        yield Running(scheduler_pb2_grpc.SchedulerServiceStub(to_scheduler), others, extractor, clock)
