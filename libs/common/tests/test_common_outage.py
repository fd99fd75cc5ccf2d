"""Kafka and Postgres killed under a running bus: nothing lost, nothing doubled, and a stop that ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from uuid import UUID, uuid4

import pytest

from holdfast.common.clock import SystemClock
from holdfast.common.contracts.connections import ConnectionRecovered
from holdfast.common.errors import HoldfastError
from holdfast.common.failpoints import durable_step
from holdfast.common.messaging import Bus
from holdfast.common.meta import Meta
from holdfast.common.outbox import enqueue
from holdfast.common.postgres import Database, Unit
from holdfast.common.settings import Settings
from holdfast.launcher.stack import EmbeddedStack

pytestmark = pytest.mark.integration
STEP = durable_step("test.outage")


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """Servers of this test alone, to be killed."""
    with EmbeddedStack(tmp_path_factory.mktemp("outage"), durable=False) as running:
        yield running


@pytest.fixture
async def own_db(stack: EmbeddedStack) -> AsyncIterator[Database]:
    db = await Database.open(await asyncio.to_thread(stack.postgres_dsn), "svc")
    await db.migrate()
    async with db.unit(STEP) as unit:
        await unit.execute("CREATE TABLE effect (id bigint GENERATED ALWAYS AS IDENTITY, what uuid NOT NULL)")
    yield db
    await db.close()


@pytest.fixture
async def bus(stack: EmbeddedStack, own_db: Database, settings: Settings) -> AsyncIterator[Bus]:
    async def handler(unit: Unit, event: ConnectionRecovered, meta: Meta) -> None:
        await unit.execute("INSERT INTO effect (what) VALUES ($1)", event.connection_id)

    made = Bus(settings.model_copy(update={"kafka": stack.kafka_servers}), "svc", own_db, SystemClock())
    made.consume(ConnectionRecovered, handler, step=STEP)
    await made.start()
    yield made
    await made.stop()


async def publish(db: Database, meta: Meta, ids: list[UUID]) -> None:
    for connection_id in ids:

        async def work(unit: Unit, connection_id: UUID = connection_id) -> None:
            await enqueue(unit, ConnectionRecovered(connection_id=connection_id), meta)

        await db.run(STEP, work)


async def effects(db: Database) -> list[UUID]:
    try:
        return [row["what"] for row in await db.fetch("SELECT what FROM effect ORDER BY id")]
    except HoldfastError:
        return []


async def arrived(db: Database, ids: list[UUID], within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while len(await effects(db)) < len(ids):
            await asyncio.sleep(0.1)
    assert sorted(await effects(db)) == sorted(ids)


async def test_events_wait_for_kafka_and_arrive_once(
    stack: EmbeddedStack, own_db: Database, bus: Bus, meta: Meta
) -> None:
    before, during, after = ([uuid4() for _ in range(20)] for _ in range(3))
    await publish(own_db, meta, before)
    await asyncio.to_thread(stack.kill, "kafka")
    await publish(own_db, meta, during)  # commands are accepted; the outbox grows
    await asyncio.sleep(6)
    await asyncio.to_thread(stack.restart, "kafka")
    await publish(own_db, meta, after)
    await arrived(own_db, before + during + after, 60)
    assert bus.liveness()["alive"]


async def test_a_bus_stops_in_time_while_kafka_is_down(stack: EmbeddedStack, bus: Bus) -> None:
    await asyncio.to_thread(stack.kill, "kafka")
    await asyncio.sleep(1)
    started = time.monotonic()
    await bus.stop()
    assert time.monotonic() - started < 12


async def test_a_restart_of_postgres_is_survived(stack: EmbeddedStack, own_db: Database, bus: Bus, meta: Meta) -> None:
    before, after = [uuid4() for _ in range(10)], [uuid4() for _ in range(10)]
    await publish(own_db, meta, before)
    await asyncio.to_thread(stack.kill, "postgres")
    await asyncio.sleep(1)
    await asyncio.to_thread(stack.restart, "postgres")
    await publish(own_db, meta, after)
    await arrived(own_db, before + after, 60)
    assert bus.liveness()["alive"]
