"""The whole service between real Kafka, real Postgres and the local org."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from holdfast.common.clock import SystemClock
from holdfast.common.contracts.base import PublicEvent
from holdfast.common.contracts.extractor import ExtractionPlanned, ObjectExtracted, PageStaged
from holdfast.common.contracts.scheduler import RunRequested
from holdfast.common.failpoints import durable_step
from holdfast.common.folderstore import FolderStore
from holdfast.common.grpc import Server, call, channel
from holdfast.common.messaging import Bus
from holdfast.common.meta import Meta
from holdfast.common.outbox import enqueue
from holdfast.common.postgres import Database, Unit
from holdfast.common.rpc.connections.v1 import connections_pb2 as connections
from holdfast.common.rpc.connections.v1.connections_pb2_grpc import (
    ConnectionsServiceServicer,
    add_ConnectionsServiceServicer_to_server,
)
from holdfast.common.rpc.extractor.v1 import extractor_pb2 as messages
from holdfast.common.rpc.extractor.v1.extractor_pb2_grpc import ExtractorServiceStub
from holdfast.common.service import Platform, run_modules
from holdfast.common.settings import Settings
from holdfast.extractor.module import build
from holdfast.orgsim.testing import RunningOrg

pytestmark = pytest.mark.integration
REQUESTED = durable_step("test.extractor_run_requested")
HEARD = durable_step("test.extractor_heard")
META = Meta(UUID(int=7), None, "user:test")


class OneConnection(ConnectionsServiceServicer):
    """Gives out tokens of the local org."""

    def __init__(self, org: RunningOrg) -> None:
        self.org = org
        self.calls = 0

    async def GetAccess(self, request: Any, context: Any) -> connections.GetAccessResponse:
        token = await asyncio.to_thread(self.org.token)
        return connections.GetAccessResponse(
            instance_url=self.org.url, access_token=token, api_version="62.0", organization_id=self.org.org_id
        )

    async def ReserveCalls(self, request: Any, context: Any) -> connections.ReserveCallsResponse:
        return connections.ReserveCallsResponse(
            granted_calls=request.wanted_calls, slots=request.wanted_slots, expires_in_ms=60_000
        )

    async def ReportUsage(self, request: Any, context: Any) -> connections.ReportUsageResponse:
        self.calls += request.calls
        return connections.ReportUsageResponse()


class Neighbour:
    """Another service: asks for runs and hears what the extractor says."""

    def __init__(self, settings: Settings, db: Database) -> None:
        self.db = db
        self.heard: list[tuple[PublicEvent, Meta]] = []
        self.bus = Bus(settings, "neighbour", db, SystemClock())
        self.bus.publishes(RunRequested)
        for event_type in (ExtractionPlanned, PageStaged, ObjectExtracted):
            self.bus.consume(event_type, self._hear, step=durable_step(f"{HEARD.name}_{uuid4().hex}"))

    async def _hear(self, unit: Unit, event: PublicEvent, meta: Meta) -> None:
        unit.after_commit(lambda: self.heard.append((event, meta)))

    async def ask(self, *objects: str) -> UUID:
        event = RunRequested(
            run_id=uuid4(),
            job_id=uuid4(),
            run=1,
            connection_id=uuid4(),
            objects=list(objects),
            trigger="manual",
            requested_at=datetime.now(UTC),
        )
        await self.db.run(REQUESTED, lambda unit: enqueue(unit, event, META))
        return event.run_id

    async def hears(self, kind: type[PublicEvent], number: int) -> list[Any]:
        async with asyncio.timeout(60):
            while len(found := [event for event, _ in self.heard if isinstance(event, kind)]) < number:
                await asyncio.sleep(0.02)
        return found


@asynccontextmanager
async def world(
    org: RunningOrg, dsn: str, kafka: str, folder: Path, port: Callable[[], int]
) -> AsyncIterator[tuple[Neighbour, OneConnection, Settings]]:
    settings = Settings(
        internal_token="t",
        secret_key=base64.b64encode(bytes(32)).decode(),
        data=folder,
        kafka=kafka,
        kafka_prefix=f"{folder.name}-",
        postgres=dsn,
        connections_grpc=f"127.0.0.1:{port()}",
        extractor_grpc=f"127.0.0.1:{port()}",
        allow_insecure_salesforce=True,
    )
    one = OneConnection(org)
    server = Server(settings, settings.connections_grpc)
    server.add(lambda registry: add_ConnectionsServiceServicer_to_server(one, registry))
    await server.start()
    db = await Database.open(dsn, "neighbour")
    await db.migrate()
    neighbour = Neighbour(settings, db)
    await neighbour.bus.start()
    stop = asyncio.Event()
    module = await build(Platform(settings, FolderStore(folder / "vault")))
    running = asyncio.create_task(run_modules([module], stop))
    try:
        yield neighbour, one, settings
    finally:
        stop.set()
        await asyncio.wait_for(running, 20)
        await neighbour.bus.stop()
        await db.close()
        await server.stop()


async def test_a_requested_run_is_planned_read_and_announced(
    org: RunningOrg,
    own: Callable[[str], str],
    postgres_dsn: str,
    kafka_servers: str,
    tmp_path: Path,
    unused_tcp_port_factory: Callable[[], int],
) -> None:
    rows = [{"Name": str(number)} for number in range(2500)]
    org.define(own("Large"), [], rows)
    org.define(own("Small"), [], rows[:5])
    async with world(org, postgres_dsn, kafka_servers, tmp_path, unused_tcp_port_factory) as (near, one, settings):
        run_id = await near.ask(own("Large"), own("Small"))
        extracted = {event.object: event for event in await near.hears(ObjectExtracted, 2)}
        assert {name: event.rows for name, event in extracted.items()} == {own("Large"): 2500, own("Small"): 5}
        assert len((await near.hears(ExtractionPlanned, 1))[0].objects) == 2
        assert sum(page.rows for page in await near.hears(PageStaged, 2)) == 2505
        assert {meta.correlation_id for _, meta in near.heard} == {META.correlation_id}
        stub = ExtractorServiceStub(client := channel(settings, settings.extractor_grpc))
        progress = await call(stub.GetProgress, messages.GetProgressRequest(run_id=str(run_id)))
        assert (progress.state, progress.rows) == ("done", 2505)
        await client.close()
    assert one.calls == org.calls()["total"], "every call is in the ledger of the org"
