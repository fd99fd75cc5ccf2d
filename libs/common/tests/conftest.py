"""Settings, a migrated database and small events for the tests of `holdfast.common`."""

from __future__ import annotations

import base64
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaProducer

from holdfast.common.clock import SystemClock
from holdfast.common.messaging import Bus
from holdfast.common.meta import Meta
from holdfast.common.postgres import Database
from holdfast.common.settings import Settings

sys.path.insert(0, str(Path(__file__).parent))

from bus_parts import PUBLISH, Seen


@pytest.fixture
def meta() -> Meta:
    return Meta(correlation_id=UUID(int=7), causation_id=None, actor="user:tester")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings that reach nothing by themselves."""
    return Settings(
        data=tmp_path,
        kafka="127.0.0.1:1",
        object_store=f"file://{tmp_path}/store",
        internal_token="test-token",
        secret_key=base64.b64encode(bytes(32)).decode(),
    )


@pytest.fixture(scope="session")
def postgres_template(migrated_template: Callable[..., str]) -> str:
    """Every test begins with the tables that it would migrate first."""
    return migrated_template({"svc": [], "reader": []})


@pytest.fixture
async def db(postgres_dsn: str) -> AsyncIterator[Database]:
    """A database with common's tables in the schema `svc`."""
    database = await Database.open(postgres_dsn, "svc", max_size=6)
    await database.migrate()
    yield database
    await database.close()


@pytest.fixture
def kafka_settings(settings: Settings, kafka_servers: str) -> Settings:
    """Settings for real Kafka; a prefix of its own keeps each test's topics and groups apart."""
    return settings.model_copy(update={"kafka": kafka_servers, "kafka_prefix": f"t{uuid4().hex[:8]}."})


@pytest.fixture
async def make_bus(db: Database, kafka_settings: Settings) -> AsyncIterator[Callable[..., Bus]]:
    """Buses that are stopped at the end of the test."""
    made: list[Bus] = []

    def make(service: str = "svc", database: Database = db) -> Bus:
        bus = Bus(kafka_settings, service, database, SystemClock())
        made.append(bus)
        return bus

    yield make
    for bus in made:
        await bus.stop()


@pytest.fixture
async def consumer_db(db: Database) -> AsyncIterator[Database]:
    """The consuming service's own schema."""
    database = await Database.open(db.dsn, "reader", max_size=6)
    await database.migrate()
    async with database.unit(PUBLISH) as unit:
        await unit.execute("CREATE TABLE effect (what text NOT NULL)")
    yield database
    await database.close()


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
async def raw(kafka_settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    """A producer that is not ours, for bytes that are not ours."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka_settings.kafka)
    await producer.start()
    yield producer
    await producer.stop()
