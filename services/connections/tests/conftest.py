"""A running connections service on real Postgres and Kafka, with an org to connect to."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from holdfast.common.clock import SystemClock, TimeOrderedIds
from holdfast.common.contracts.base import PublicEvent
from holdfast.common.contracts.connections import (
    BudgetObserved,
    ConnectionAdded,
    ConnectionBroken,
    ConnectionRecovered,
)
from holdfast.common.failpoints import durable_step
from holdfast.common.grpc import call, channel
from holdfast.common.messaging import Bus
from holdfast.common.meta import Meta
from holdfast.common.objectstore import open_store
from holdfast.common.postgres import Database, Unit
from holdfast.common.rpc.connections.v1 import connections_pb2 as pb
from holdfast.common.rpc.connections.v1 import connections_pb2_grpc
from holdfast.common.service import Platform, started
from holdfast.common.settings import Settings
from holdfast.connections.module import build
from holdfast.launcher.stack.process import free_ports
from holdfast.orgsim.testing import RunningOrg, start_org

HEARD = {
    event: durable_step(f"test.connections_heard_{event.__name__}")
    for event in (ConnectionAdded, ConnectionBroken, ConnectionRecovered, BudgetObserved)
}


class MovedClock(SystemClock):
    """The machine's clock, moved forward by a test."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


class Listener:
    """Another service, which hears what this one says."""

    def __init__(self, settings: Settings, db: Database) -> None:
        self._came = asyncio.Condition()
        self._listening = False
        self.heard: list[PublicEvent] = []
        self.bus = Bus(settings, "listener", db, SystemClock())
        for event, step in HEARD.items():
            self.bus.consume(event, self._hear, step=step)

    async def _hear(self, unit: Unit, event: PublicEvent, meta: Meta) -> None:
        async with self._came:
            self.heard.append(event)
            self._came.notify_all()

    async def hears(self, wanted: Callable[[PublicEvent], bool]) -> PublicEvent:
        """The first event that is wanted, waiting for it. Listens from the first call on, from the beginning."""
        if not self._listening:
            self._listening = True
            await self.bus.start()
        async with asyncio.timeout(30), self._came:
            await self._came.wait_for(lambda: any(wanted(event) for event in self.heard))
            return next(event for event in self.heard if wanted(event))


@dataclass
class Running:
    """The service, seen from outside, and the org it talks to."""

    stub: Any
    listener: Listener
    org: RunningOrg
    clock: MovedClock
    db: Database

    async def ask(self, method: str, **values: Any) -> Any:
        """Call a method by name."""
        request = getattr(pb, f"{method}Request")(**values)
        return await call(getattr(self.stub, method), request, timeout=timedelta(seconds=60))

    async def add(self, **values: Any) -> Any:
        """Add a connection to the org; `values` replace what is right."""
        right = {
            "name": "Production",
            "login_url": self.org.url,
            "flow": pb.FLOW_CLIENT_CREDENTIALS,
            "client_id": self.org.client_id,
            "secret": self.org.client_secret,
        }
        return (await self.ask("AddConnection", **(right | values))).connection

    async def access(self, connection_id: str, refused: str = "") -> Any:
        """Ask for a token."""
        return await self.ask("GetAccess", connection_id=connection_id, refused_token=refused)

    def sign_ins_meet(self, effect: dict[str, Any], count: int | None = None) -> None:
        """From now on, sign-ins meet trouble."""
        self.org.faults({"method": "POST", "path": "^/services/oauth2/token", "count": count, "effect": effect})

    def sign_ins_that_met_trouble(self) -> int:
        """How many sign-ins met the trouble set last."""
        return int(self.org.faults()[-1]["applied"])


@dataclass(frozen=True)
class KeyPair:
    """The connected app's key: the private half signs, the org knows the public half."""

    private_pem: str
    public_pem: str


@pytest.fixture(scope="session")
def app_key() -> KeyPair:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return KeyPair(private.decode(), public.decode())


@pytest.fixture(scope="session")
def served_org(app_key: KeyPair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningOrg]:
    public = tmp_path_factory.mktemp("org") / "app.pem"
    public.write_text(app_key.public_pem)
    with start_org(extra=["--jwt-public-key", str(public)]) as org:
        yield org


@pytest.fixture
def org(served_org: RunningOrg) -> Iterator[RunningOrg]:
    yield served_org
    served_org.clear_faults()


@pytest.fixture(scope="session")
def postgres_template(migrated_template: Callable[..., str]) -> str:
    """Every test begins with the tables that it would migrate first."""
    return migrated_template({"connections": ["holdfast.connections"], "listener": []})


@pytest.fixture
async def service(postgres_dsn: str, kafka_servers: str, tmp_path: Path, org: RunningOrg) -> AsyncIterator[Running]:
    settings = Settings(
        kafka=kafka_servers,
        kafka_prefix=f"t{uuid4().hex[:8]}.",
        kafka_partitions=1,
        postgres=postgres_dsn,
        object_store=tmp_path.as_uri(),
        internal_token="token",
        secret_key=base64.b64encode(bytes(32)).decode(),
        allow_insecure_salesforce=True,
        connections_grpc=f"127.0.0.1:{free_ports([], 1)[0]}",
    )
    clock = MovedClock()
    async with AsyncExitStack() as cleanup:
        db = await Database.open(postgres_dsn, "listener")
        cleanup.push_async_callback(db.close)
        await db.migrate()
        reader = await Database.open(postgres_dsn, "connections")
        cleanup.push_async_callback(reader.close)
        module = await build(Platform(settings, await open_store(settings), clock, TimeOrderedIds(), "test"))
        await cleanup.enter_async_context(started([module]))
        work = asyncio.create_task(module.run())
        cleanup.callback(work.cancel)
        listener = Listener(settings, db)
        cleanup.push_async_callback(listener.bus.stop)
        to_service = channel(settings, settings.connections_grpc)
        cleanup.push_async_callback(to_service.close, None)
        yield Running(connections_pb2_grpc.ConnectionsServiceStub(to_service), listener, org, clock, reader)
