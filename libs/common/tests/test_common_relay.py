"""From the outbox to Kafka, and the feed beside it: in order, whole, by one relay at a time."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import OutOfOrderSequenceNumber
from bus_parts import FEED, HANDLE, PUBLISH, MakeBus, Seen, added, effects, publish, until

from holdfast.common import relay as relay_module
from holdfast.common.clock import SystemClock
from holdfast.common.contracts.connections import BudgetObserved, ConnectionAdded
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.kafka import ensure_topics
from holdfast.common.messaging import Bus
from holdfast.common.meta import Meta
from holdfast.common.outbox import enqueue
from holdfast.common.postgres import Database
from holdfast.common.relay import Relay
from holdfast.common.settings import Settings

pytestmark = pytest.mark.integration


async def test_a_late_commit_is_not_skipped(
    db: Database, consumer_db: Database, make_bus: MakeBus, seen: Seen, meta: Meta
) -> None:
    reader = make_bus("reader", consumer_db)
    reader.consume(ConnectionAdded, seen, step=HANDLE)
    await reader.start()
    await make_bus("svc").start()
    slow, fast = uuid4(), uuid4()
    async with db.unit(PUBLISH) as unit:
        await enqueue(unit, added(slow), meta)  # the lower id …
        await publish(db, meta, added(fast))  # … commits after the higher one was sent
        await until(lambda: len(seen.events) == 1)
    await until(lambda: len(seen.events) == 2)
    assert [event.connection_id for event in seen.events] == [fast, slow]


async def test_a_relay_that_died_after_the_ack_sends_again_and_the_inbox_absorbs_it(
    db: Database, consumer_db: Database, make_bus: MakeBus, seen: Seen, meta: Meta
) -> None:
    reader = make_bus("reader", consumer_db)
    reader.consume(ConnectionAdded, seen, step=HANDLE)
    await reader.start()
    await make_bus("svc").start()
    key = uuid4()
    await publish(db, meta, added(key))
    await until(lambda: len(seen.events) == 1)
    async with db.unit(PUBLISH) as unit:  # what is left when the process dies between ack and mark
        await unit.execute("UPDATE outbox SET published_at = NULL")
    await publish(db, meta, added(key, "second"))
    await until(lambda: len(seen.events) == 2)
    assert await effects(consumer_db) == 2
    assert [event.name for event in seen.events] == ["org", "second"]


async def test_only_one_of_two_relays_leads_and_the_other_takes_over(
    db: Database, make_bus: MakeBus, meta: Meta
) -> None:
    first, second = make_bus("svc"), make_bus("svc")
    await first.start()
    await until(lambda: first.liveness()["relay_leads"])
    await second.start()
    await asyncio.sleep(0.3)
    assert not second.liveness()["relay_leads"]
    await first.stop()
    await until(lambda: second.liveness()["relay_leads"])
    assert await db.fetchval("SELECT epoch FROM outbox_relay") == 2


async def test_a_relay_without_the_epoch_marks_nothing(
    db: Database, make_bus: MakeBus, kafka_settings: Settings, meta: Meta
) -> None:
    await ensure_topics(kafka_settings, [ConnectionAdded.topic()])
    await publish(db, meta, added(uuid4()))
    relay = Relay(kafka_settings, "svc", db, SystemClock(), "zombie")
    connection = await db.dedicated()
    try:
        await connection.execute("INSERT INTO outbox_relay VALUES (0, 5, 'other')")
        with pytest.raises(HoldfastError) as caught:
            await relay.pass_once(connection, 4)
        assert caught.value.kind is Kind.FENCED
        assert await db.fetchval("SELECT count(*) FROM outbox WHERE published_at IS NULL") == 1
    finally:
        await connection.close()
        await relay.close()


async def test_an_oversized_event_is_refused_at_the_command(db: Database, meta: Meta) -> None:
    with pytest.raises(HoldfastError) as caught:
        await publish(db, meta, added(uuid4(), "x" * 300_000))
    assert caught.value.kind is Kind.TOO_LARGE
    assert await db.fetchval("SELECT count(*) FROM outbox") == 0


async def test_the_feed_keeps_order_and_sends_whole(make_bus: MakeBus, kafka_settings: Settings) -> None:
    bus = make_bus("svc")
    bus.publishes(BudgetObserved)
    await bus.start()
    topic = BudgetObserved.topic()
    messages = [(b"k%d" % (n % 7), b"%d" % n + b"." * 900, {"ce_id": str(n)}) for n in range(3000)]
    await bus.send_batch(topic, messages, FEED)
    await bus.send_batch(topic, [], FEED)
    consumer = AIOKafkaConsumer(
        kafka_settings.on_kafka(topic), bootstrap_servers=kafka_settings.kafka, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        got: dict[bytes, list[int]] = {}
        async with asyncio.timeout(20):
            for _ in messages:
                record = await consumer.getone()
                got.setdefault(record.key, []).append(int(record.value.split(b".")[0]))
    finally:
        await consumer.stop()
    assert {key: len(numbers) for key, numbers in got.items()} == {b"k%d" % k: len(range(k, 3000, 7)) for k in range(7)}
    assert all(numbers == sorted(numbers) for numbers in got.values())


async def test_kafka_that_is_not_there_is_said_in_words(db: Database, settings: Settings) -> None:
    bus = Bus(settings, "svc", db, SystemClock())
    bus.publishes(BudgetObserved)
    with pytest.raises(HoldfastError, match="Kafka is not reachable"):
        await bus.start()
    await bus.stop()


async def test_any_send_error_rebuilds_the_producer_and_nothing_is_lost(
    db: Database,
    consumer_db: Database,
    make_bus: MakeBus,
    seen: Seen,
    meta: Meta,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After an expired batch an idempotent producer stays out of sequence: it must never be used again."""
    opened: list[Any] = []
    real = relay_module.open_producer

    async def counting(settings: Settings, service: str) -> Any:
        producer = await real(settings, service)
        opened.append(producer)
        return producer

    monkeypatch.setattr(relay_module, "open_producer", counting)
    reader, writer = make_bus("reader", consumer_db), make_bus("svc")
    reader.consume(ConnectionAdded, seen, step=HANDLE)
    await reader.start()
    await writer.start()
    await until(lambda: writer.liveness()["relay_leads"] and opened)
    first = next(producer for producer in opened if producer is writer._relay._producer)

    async def broken(*_: object, **__: object) -> Any:
        raise OutOfOrderSequenceNumber

    monkeypatch.setattr(first, "send", broken)
    await publish(db, meta, added(uuid4()))
    await until(lambda: len(seen.events) == 1)
    assert writer._relay._producer is not first
    assert first._closed
