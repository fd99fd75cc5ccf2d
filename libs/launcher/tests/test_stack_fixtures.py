"""The fixtures of the root conftest give real, usable servers."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("attempt", [1, 2])
async def test_each_test_gets_its_own_empty_database(postgres_dsn: str, attempt: int) -> None:
    connection = await asyncpg.connect(postgres_dsn)
    try:
        tables = await connection.fetchval("select count(*) from pg_tables where schemaname = 'public'")
        assert tables == 0
        await connection.execute("create table left_behind (n int)")
        version = await connection.fetchval("show server_version")
    finally:
        await connection.close()
    assert version.startswith("18")


def test_a_fresh_database_takes_a_blink(postgres_server) -> None:
    started = time.perf_counter()
    postgres_server.clone_database("empty_template", "clone_timing")
    elapsed = time.perf_counter() - started
    postgres_server.drop_database("clone_timing")
    assert elapsed < 2, "cloning a template should take about 20 ms, not as long as an initdb"


async def test_kafka_takes_and_gives_back_a_message(kafka_servers: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic("stack-fixture-roundtrip", 1, 1)])
    finally:
        await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=kafka_servers, acks="all", enable_idempotence=True) as producer:
        await producer.send_and_wait("stack-fixture-roundtrip", b"hello")
    async with AIOKafkaConsumer(
        "stack-fixture-roundtrip", bootstrap_servers=kafka_servers, group_id="g", auto_offset_reset="earliest"
    ) as consumer:
        message = await asyncio.wait_for(consumer.getone(), 10)
    assert message.value == b"hello"
