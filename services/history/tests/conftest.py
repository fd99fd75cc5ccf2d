"""A running history service on real Postgres and Kafka, over a small vault written as the differ writes it."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from holdfast.common.clock import SystemClock, TimeOrderedIds
from holdfast.common.contracts.base import PublicEvent
from holdfast.common.contracts.history import IntegrityVerified
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import durable_step
from holdfast.common.grpc import Server, call, channel
from holdfast.common.grpc_errors import from_rpc
from holdfast.common.messaging import Bus
from holdfast.common.meta import Meta
from holdfast.common.objectstore import open_store
from holdfast.common.outbox import enqueue
from holdfast.common.postgres import Database, Unit
from holdfast.common.rpc.differ.v1 import differ_pb2, differ_pb2_grpc
from holdfast.common.rpc.history.v1 import history_pb2 as pb
from holdfast.common.rpc.history.v1 import history_pb2_grpc
from holdfast.common.rpc.scheduler.v1 import scheduler_pb2, scheduler_pb2_grpc
from holdfast.common.service import Platform, started
from holdfast.common.settings import Settings
from holdfast.history.module import build
from holdfast.launcher.stack.process import free_ports
from holdfast.vault.refs import Committed

sys.path.insert(0, str(Path(__file__).parent))

from history_vault import JOB, SECRET, Vault

SENT = durable_step("test.history_peer_sent")
HEARD = durable_step("test.history_heard")


@dataclass
class Differ(differ_pb2_grpc.DifferServiceServicer):
    """Remembers what the test says."""

    tables: list[Any] = field(default_factory=list)

    async def ListTables(self, request: Any, context: Any) -> Any:
        return differ_pb2.ListTablesResponse(tables=self.tables)

    def remember(self, committed: Committed, name: str = "Contact") -> None:
        kept = [table for table in self.tables if table.object != name]
        head = committed.chain_head
        self.tables = [
            *kept,
            differ_pb2.Table(object=name, commit_seq=head.commit_seq, version=committed.version, chain_head=head.head),
        ]


@dataclass
class Scheduler(scheduler_pb2_grpc.SchedulerServiceServicer):
    """Knows the runs that the test says; no jobs."""

    runs: dict[str, Any] = field(default_factory=dict)

    async def GetJob(self, request: Any, context: Any) -> Any:
        raise HoldfastError(Kind.NOT_FOUND, f"There is no job {request.id!r}.", code="unknown-job")

    async def GetRun(self, request: Any, context: Any) -> Any:
        if request.id not in self.runs:
            raise HoldfastError(Kind.NOT_FOUND, f"There is no run {request.id!r}.", code="unknown-run")
        return scheduler_pb2.GetRunResponse(run=self.runs[request.id])


@dataclass
class Running:
    """History, seen from outside."""

    stub: Any
    vault: Vault
    differ: Differ
    scheduler: Scheduler
    db: Database
    verified: list[IntegrityVerified]

    async def ask(self, method: str, request: Any) -> Any:
        return await call(getattr(self.stub, method), request)

    async def verify(self, job: str = str(JOB)) -> list[pb.VerifyJobResponse]:
        try:
            return [step async for step in self.stub.VerifyJob(pb.VerifyJobRequest(job_id=job), timeout=60)]
        except Exception as error:
            raise from_rpc(error) from error

    async def send(self, *events: PublicEvent) -> None:
        async with self.db.unit(SENT) as unit:
            for event in events:
                await enqueue(unit, event, Meta(uuid4(), None, "test"))

    async def until(self, method: str, request: Any, done: Callable[[Any], bool]) -> Any:
        """The answer, once it is as the events sent make it."""
        async with asyncio.timeout(30):
            while True:
                try:
                    answer = await self.ask(method, request)
                    if done(answer):
                        return answer
                except Exception as error:
                    if getattr(error, "code", "") not in {"unknown-run", "unknown-job"}:
                        raise
                await asyncio.sleep(0.05)


@pytest.fixture(scope="session")
def postgres_template(migrated_template: Callable[..., str]) -> str:
    """Every test begins with the tables that it would migrate first."""
    return migrated_template({"history": ["holdfast.history"], "others": []})


@pytest.fixture
async def history(postgres_dsn: str, kafka_servers: str, tmp_path: Path) -> AsyncIterator[Running]:
    ports = free_ports([], 3)
    folder = tmp_path / "vault"
    folder.mkdir()
    settings = Settings(
        kafka=kafka_servers,
        kafka_prefix=f"t{uuid4().hex[:8]}.",
        kafka_partitions=2,
        postgres=postgres_dsn,
        object_store=folder.as_uri(),
        internal_token="token",
        secret_key=base64.b64encode(SECRET).decode(),
        history_grpc=f"127.0.0.1:{ports[0]}",
        differ_grpc=f"127.0.0.1:{ports[1]}",
        scheduler_grpc=f"127.0.0.1:{ports[2]}",
    )
    differ, scheduler, heard = Differ(), Scheduler(), list[IntegrityVerified]()

    async def hear(unit: Unit, event: IntegrityVerified, meta: Meta) -> None:
        heard.append(event)

    async with AsyncExitStack() as cleanup:
        for address, add, servicer in (
            (settings.differ_grpc, differ_pb2_grpc.add_DifferServiceServicer_to_server, differ),
            (settings.scheduler_grpc, scheduler_pb2_grpc.add_SchedulerServiceServicer_to_server, scheduler),
        ):
            server = Server(settings, address)
            server.add(lambda endpoint, add=add, servicer=servicer: add(servicer, endpoint))
            await server.start()
            cleanup.push_async_callback(server.stop)
        db = await Database.open(postgres_dsn, "others")
        cleanup.push_async_callback(db.close)
        await db.migrate()
        store = await open_store(settings)
        module = await build(Platform(settings, store, SystemClock(), TimeOrderedIds(), "test"))
        await cleanup.enter_async_context(started([module]))
        work = asyncio.create_task(module.run())
        cleanup.callback(work.cancel)
        bus = Bus(settings, "others", db, SystemClock())
        bus.consume(IntegrityVerified, hear, step=HEARD)
        await bus.start()
        cleanup.push_async_callback(bus.stop)
        to_history = channel(settings, settings.history_grpc)
        cleanup.push_async_callback(to_history.close, None)
        stub = history_pb2_grpc.HistoryServiceStub(to_history)
        yield Running(stub, Vault(folder, tmp_path), differ, scheduler, db, heard)
