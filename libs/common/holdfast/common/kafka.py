"""Kafka clients with every time-out set, and the creation of topics."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress

import structlog
from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]
from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code  # type: ignore[import-untyped]

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.settings import Settings

__all__ = [
    "AIOKafkaProducer",
    "KafkaError",
    "close_producer",
    "ensure_topics",
    "open_producer",
    "unreachable",
]

log = structlog.get_logger(__name__)
REQUEST_TIMEOUT_MS = 20_000
START_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 5.0


async def open_producer(settings: Settings, service: str) -> AIOKafkaProducer:
    """A started idempotent producer: every in-sync replica must have a message before it counts as sent."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka,
        client_id=f"holdfast-{service}",
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        max_batch_size=262_144,
        max_request_size=1_048_576,
        metadata_max_age_ms=60_000,
    )
    starting = asyncio.ensure_future(producer.start())
    try:
        async with asyncio.timeout(START_TIMEOUT_S):  # not wait_for: it can swallow a cancellation
            await asyncio.shield(starting)
    except (KafkaError, OSError, TimeoutError) as error:
        await _end_start(producer, starting)
        raise unreachable(error) from error
    except asyncio.CancelledError:  # a service that stops while it starts must not leave a producer behind
        await _end_start(producer, starting)
        raise
    return producer


async def _end_start(producer: AIOKafkaProducer, starting: asyncio.Future[None]) -> None:
    # Cancelled in the middle, a start forgets the connection it has just made: it gets a moment to end by itself.
    await asyncio.wait([starting], timeout=CLOSE_TIMEOUT_S)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await close_producer(producer)


async def close_producer(producer: AIOKafkaProducer) -> None:
    """Stop a producer, also one whose broker is gone (its own stop then waits without end)."""
    with suppress(KafkaError, OSError, TimeoutError):
        await asyncio.wait_for(producer.stop(), CLOSE_TIMEOUT_S)
        return
    with suppress(KafkaError, OSError, TimeoutError):
        await asyncio.wait_for(producer.client.close(), CLOSE_TIMEOUT_S)


async def ensure_topics(settings: Settings, topics: Iterable[str]) -> None:
    """Create the topics that are missing; whoever comes first wins, the others agree."""
    wanted = sorted({settings.on_kafka(topic) for topic in topics})
    if not wanted:
        return
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka, request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await asyncio.wait_for(admin.start(), START_TIMEOUT_S)
        existing = set(await admin.list_topics())
        missing = [_new_topic(settings, topic) for topic in wanted if topic not in existing]
        if missing:
            _check(await admin.create_topics(missing))
    except (KafkaError, OSError, TimeoutError) as error:
        raise unreachable(error) from error
    finally:
        with suppress(KafkaError, OSError, TimeoutError):
            await asyncio.wait_for(admin.close(), CLOSE_TIMEOUT_S)


def _new_topic(settings: Settings, topic: str) -> NewTopic:
    return NewTopic(
        name=topic,
        num_partitions=settings.kafka_partitions,
        replication_factor=settings.kafka_replication,
    )


def _check(response: object) -> None:
    for entry in getattr(response, "topic_errors", []):
        topic, code = entry[0], entry[1]
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise HoldfastError(Kind.UNAVAILABLE, f"Kafka did not create the topic {topic}.", detail=str(error))
        if not code:
            log.info("topic_created", topic=topic)


def unreachable(error: BaseException) -> HoldfastError:
    """What a Kafka client raised, as the one error type."""
    return HoldfastError(
        Kind.UNAVAILABLE, "Kafka is not reachable right now.", detail=f"{type(error).__name__}: {error}"
    )
