"""From a commit in one service to an effect in another, on real Kafka and Postgres."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from bus_parts import HANDLE, PUBLISH, MakeBus, Seen, added, effects, publish, send_raw, until

from holdfast.common import cloudevents, consuming, parked
from holdfast.common.contracts.connections import BudgetObserved, ConnectionAdded, ConnectionRecovered
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.meta import Meta
from holdfast.common.postgres import Database
from holdfast.common.settings import Settings

pytestmark = pytest.mark.integration


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
    assert parked.headers_from_json(kept["headers"])[1] == ("x", b"\x00\xff")
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
    await until(lambda: bool(reader.liveness()["waiting"]))
    assert await effects(consumer_db) == 0
    async with consumer_db.unit(PUBLISH) as unit:  # number 1 arrives by another partition
        await unit.execute("INSERT INTO stream_seen VALUES ('reader', $1, $2, 1)", ConnectionAdded.topic(), str(key))
    await until(lambda: len(seen.events) == 1)
    await until(lambda: reader.liveness()["waiting"] == {})
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
