"""From a commit in one service to an effect in another, on real Kafka and Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import OutOfOrderSequenceNumber

from holdfast.common import cloudevents, consuming, parked
from holdfast.common import relay as relay_module
from holdfast.common.clock import SystemClock
from holdfast.common.contracts.connections import BudgetObserved, ConnectionAdded, ConnectionRecovered
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import durable_step
from holdfast.common.kafka import ensure_topics
from holdfast.common.messaging import Bus
from holdfast.common.meta import Meta
from holdfast.common.outbox import enqueue
from holdfast.common.postgres import Database, Unit
from holdfast.common.relay import Relay
from holdfast.common.settings import Settings

pytestmark = pytest.mark.integration
PUBLISH = durable_step("test.published")
HANDLE = durable_step("test.handled")
FEED = durable_step("test.fed")
MakeBus = Callable[..., Bus]


def added(connection_id: UUID, name: str = "org") -> ConnectionAdded:
    return ConnectionAdded(connection_id=connection_id, name=name, organization_id="00D", instance_url="https://x")


async def publish(db: Database, meta: Meta, *events: Any) -> None:
    async with db.unit(PUBLISH) as unit:
        for event in events:
            await enqueue(unit, event, meta)


async def until(condition: Callable[[], Any], within_s: float = 20.0) -> None:
    """Wait for `condition` (plain or awaitable) to hold."""
    async with asyncio.timeout(within_s):
        while True:
            result = condition()
            if asyncio.iscoroutine(result):
                result = await result
            if result:
                return
            await asyncio.sleep(0.02)


class Seen:
    """A handler that writes what it gets into a table, and fails as told."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.metas: list[Meta] = []
        self.errors: list[Exception] = []
        self.calls = 0

    async def __call__(self, unit: Unit, event: Any, meta: Meta) -> None:
        self.calls += 1
        await unit.execute("INSERT INTO effect (what) VALUES ($1)", event.model_dump_json())
        if self.errors:
            raise self.errors.pop(0)
        unit.after_commit(lambda: self.events.append(event))
        unit.after_commit(lambda: self.metas.append(meta))


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


async def send_raw(
    producer: AIOKafkaProducer, settings: Settings, number: int, event: Any, meta: Meta, **changes: bytes
) -> None:
    """A message as the relay would send it, with headers changed."""
    identity = cloudevents.message_id(event.topic(), event.key(), number)
    headers = cloudevents.event_headers(event, meta)
    headers |= {"ce_id": str(identity), "ce_sequence": str(number)}
    pairs = dict(cloudevents.to_kafka(headers)) | changes
    await producer.send_and_wait(
        settings.on_kafka(event.topic()),
        key=event.key().encode(),
        value=event.model_dump_json().encode(),
        headers=list(pairs.items()),
    )


async def effects(db: Database) -> int:
    return int(await db.fetchval("SELECT count(*) FROM effect"))


async def test_an_event_reaches_its_consumer_with_meta_and_type(
    db: Database, consumer_db: Database, make_bus: MakeBus, seen: Seen, meta: Meta
) -> None:
    reader = make_bus("reader", consumer_db)
    reader.consume(ConnectionAdded, seen, step=HANDLE)
    reader.consume(ConnectionRecovered, seen, step=HANDLE)
    reader.consume(BudgetObserved, seen, step=HANDLE)
    await reader.start()
    await make_bus("svc").start()
    key = uuid4()
    await publish(db, meta, added(key), ConnectionRecovered(connection_id=key))
    await until(lambda: len(seen.events) == 2)
    assert seen.events == [added(key), ConnectionRecovered(connection_id=key)]
    assert seen.metas[0].correlation_id == meta.correlation_id
    assert seen.metas[0].causation_id == cloudevents.message_id(added(key).topic(), str(key), 1)
    assert seen.metas[0].actor == "user:tester"
    assert len(list(reader.broker.subscribers)) == 2  # one per topic, not one per type


async def test_order_is_kept_per_key_under_load(
    db: Database, consumer_db: Database, make_bus: MakeBus, seen: Seen, meta: Meta
) -> None:
    reader = make_bus("reader", consumer_db)
    reader.consume(ConnectionAdded, seen, step=HANDLE)
    await reader.start()
    await make_bus("svc").start()
    keys = [uuid4() for _ in range(5)]
    await asyncio.gather(
        *(publish(db, meta, *(added(key, str(n)) for key in keys)) for n in range(3)),
        *(publish(db, meta, added(key, "z")) for key in keys),
    )
    await until(lambda: len(seen.events) == 20)
    assert await effects(consumer_db) == 20
    numbers = await db.fetch("SELECT key, max(number) n, count(*) c FROM outbox GROUP BY key")
    assert {(row["n"], row["c"]) for row in numbers} == {(4, 4)}


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


async def test_a_transient_error_is_retried_without_a_second_effect(
    db: Database, consumer_db: Database, make_bus: MakeBus, seen: Seen, meta: Meta
) -> None:
    reader = make_bus("reader", consumer_db)
    reader.consume(ConnectionAdded, seen, step=HANDLE)
    seen.errors = [HoldfastError(Kind.UNAVAILABLE, "later"), HoldfastError(Kind.CONFLICT, "m", code="stream-moved")]
    await reader.start()
    await make_bus("svc").start()
    await publish(db, meta, added(uuid4()))
    await until(lambda: len(seen.events) == 1)
    assert (seen.calls, await effects(consumer_db)) == (3, 1)


@pytest.mark.parametrize("error", [HoldfastError(Kind.INVALID, "never"), ValueError("a bug")])
async def test_poison_is_parked_and_its_key_goes_on(
    db: Database,
    consumer_db: Database,
    make_bus: MakeBus,
    seen: Seen,
    meta: Meta,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consuming, "RETRY_CAP", timedelta(milliseconds=10))
    reader = make_bus("reader", consumer_db)
    reader.consume(ConnectionAdded, seen, step=HANDLE)
    seen.errors = [error] * (1 if isinstance(error, HoldfastError) else consuming.TRIES_OF_A_BUG)
    await reader.start()
    await make_bus("svc").start()
    key = uuid4()
    await publish(db, meta, added(key, "poison"), added(key, "good"))
    await until(lambda: len(seen.events) == 1)
    assert seen.events[0].name == "good"
    waiting = await parked.list_parked(consumer_db)
    assert [(item.consumer, item.type, item.reason) for item in waiting] == [
        ("reader", ConnectionAdded.TYPE, str(error))
    ]
    await parked.replay(consumer_db, waiting[0].id)
    await until(lambda: len(seen.events) == 2)
    assert seen.events[1] == added(key, "poison")
    assert await parked.list_parked(consumer_db) == []
    assert await effects(consumer_db) == 2


async def test_a_replay_that_fails_is_parked_again_with_the_new_reason(
    db: Database, consumer_db: Database, make_bus: MakeBus, seen: Seen, meta: Meta
) -> None:
    reader = make_bus("reader", consumer_db)
    reader.consume(ConnectionAdded, seen, step=HANDLE)
    seen.errors = [HoldfastError(Kind.INVALID, "first"), HoldfastError(Kind.INVALID, "second")]
    await reader.start()
    await make_bus("svc").start()
    await publish(db, meta, added(uuid4()))
    await until(lambda: parked_reasons(consumer_db, ["first"]))
    (item,) = await parked.list_parked(consumer_db)
    await parked.replay(consumer_db, item.id)
    await until(lambda: parked_reasons(consumer_db, ["second"]))
    await parked.drop(consumer_db, item.id)
    assert await parked.list_parked(consumer_db) == []
    for gone in (parked.drop, parked.replay):
        with pytest.raises(HoldfastError) as caught:
            await gone(consumer_db, item.id)
        assert caught.value.kind is Kind.NOT_FOUND
    assert await effects(consumer_db) == 0


async def parked_reasons(db: Database, reasons: list[str]) -> bool:
    return [item.reason for item in await parked.list_parked(db)] == reasons


async def test_bytes_that_nobody_can_read_are_parked_whole(
    consumer_db: Database,
    make_bus: MakeBus,
    seen: Seen,
    meta: Meta,
    raw: AIOKafkaProducer,
    kafka_settings: Settings,
) -> None:
    reader = make_bus("reader", consumer_db)
    reader.consume(ConnectionAdded, seen, step=HANDLE)
    await reader.start()
    topic = kafka_settings.on_kafka(ConnectionAdded.topic())
    await raw.send_and_wait(topic, b"\xff\xfe\x00", headers=[("content-type", b"application/json"), ("x", b"\x00\xff")])
    await raw.send_and_wait(topic, None, key=b"tombstone")
    await raw.send_and_wait(topic, b'{"name": 1}', headers=[("ce_id", b"not a uuid")])
    await until(lambda: parked_count(consumer_db, 3))
    kept = await consumer_db.fetchrow("SELECT payload, headers FROM parked ORDER BY octet_length(payload) LIMIT 1")
    assert kept is not None
    assert kept["payload"] == b"\xff\xfe\x00"
    assert parked._headers_from_json(kept["headers"])[1] == ("x", b"\x00\xff")
    await send_raw(raw, kafka_settings, 1, added(uuid4()), meta)
    await until(lambda: len(seen.events) == 1)


async def parked_count(db: Database, wanted: int) -> bool:
    return len(await parked.list_parked(db)) == wanted


async def test_a_payload_of_another_shape_is_parked_and_an_unknown_type_passes(
    consumer_db: Database,
    make_bus: MakeBus,
    seen: Seen,
    meta: Meta,
    raw: AIOKafkaProducer,
    kafka_settings: Settings,
) -> None:
    reader = make_bus("reader", consumer_db)
    reader.consume(ConnectionAdded, seen, step=HANDLE)
    await reader.start()
    key = uuid4()
    wrong = {"ce_type": ConnectionAdded.TYPE.encode()}
    await send_raw(raw, kafka_settings, 1, ConnectionRecovered(connection_id=key), meta, **wrong)
    await send_raw(raw, kafka_settings, 2, ConnectionRecovered(connection_id=key), meta)
    await send_raw(raw, kafka_settings, 3, added(key), meta)
    await until(lambda: len(seen.events) == 1)
    assert await parked_count(consumer_db, 1)


async def test_a_gap_waits_until_it_is_filled(
    consumer_db: Database,
    make_bus: MakeBus,
    seen: Seen,
    meta: Meta,
    raw: AIOKafkaProducer,
    kafka_settings: Settings,
) -> None:
    reader = make_bus("reader", consumer_db)
    reader.consume(ConnectionAdded, seen, step=HANDLE)
    await reader.start()
    key = uuid4()
    await send_raw(raw, kafka_settings, 2, added(key, "two"), meta)
    await until(lambda: bool(reader.liveness()["failing"]))
    assert await effects(consumer_db) == 0
    async with consumer_db.unit(PUBLISH) as unit:  # number 1 arrives by another partition
        await unit.execute("INSERT INTO stream_seen VALUES ('reader', $1, $2, 1)", ConnectionAdded.topic(), str(key))
    await until(lambda: len(seen.events) == 1)
    assert reader.liveness()["failing"] == {}
    assert await parked.list_parked(consumer_db) == []


async def test_stale_and_doubled_messages_have_one_effect(
    consumer_db: Database,
    make_bus: MakeBus,
    seen: Seen,
    meta: Meta,
    raw: AIOKafkaProducer,
    kafka_settings: Settings,
) -> None:
    reader = make_bus("reader", consumer_db)
    reader.consume(ConnectionAdded, seen, step=HANDLE)
    await reader.start()
    key = uuid4()
    for number in (1, 1, 2, 1, 2, 3, 3):
        await send_raw(raw, kafka_settings, number, added(key, str(number)), meta)
    ghost = {"ce_id": str(uuid4()).encode()}  # an old number under a fresh id: the guard alone stops it
    await send_raw(raw, kafka_settings, 2, added(key, "ghost"), meta, **ghost)
    await send_raw(raw, kafka_settings, 4, added(key, "4"), meta)
    await until(lambda: len(seen.events) == 4)
    assert [event.name for event in seen.events] == ["1", "2", "3", "4"]
    assert await effects(consumer_db) == 4


async def test_a_restart_continues_where_it_stopped(
    db: Database, consumer_db: Database, make_bus: MakeBus, meta: Meta
) -> None:
    await make_bus("svc").start()
    key = uuid4()
    for name in ("a", "b"):
        reader, seen = make_bus("reader", consumer_db), Seen()
        reader.consume(ConnectionAdded, seen, step=HANDLE)
        await publish(db, meta, added(key, name))  # while nobody listens: earliest, not latest
        await reader.start()
        await until(lambda seen=seen: len(seen.events) == 1)
        assert seen.events[0].name == name
        await reader.stop()


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
