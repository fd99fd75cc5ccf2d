"""Settings, a migrated database and small events for the tests of `holdfast.common`."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from holdfast.common.clock import SystemClock
from holdfast.common.messaging import Bus
from holdfast.common.meta import Meta
from holdfast.common.postgres import Database
from holdfast.common.settings import Settings


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
