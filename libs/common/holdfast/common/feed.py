"""Many messages to one topic in few requests: the record feed."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

from aiokafka.partitioner import DefaultPartitioner  # type: ignore[import-untyped]

from holdfast.common.cloudevents import to_kafka
from holdfast.common.failpoints import DurableStep
from holdfast.common.kafka import AIOKafkaProducer, KafkaError, close_producer, open_producer, unreachable
from holdfast.common.settings import Settings

SEND_TIMEOUT_S = 60.0
_partitioner = DefaultPartitioner()
Message = tuple[bytes, bytes, Mapping[str, str]]


class FeedProducer:
    """A producer of its own, opened at first use and rebuilt after any error."""

    def __init__(self, settings: Settings, service: str) -> None:
        self._settings = settings
        self._service = service
        self._producer: AIOKafkaProducer | None = None
        self._lock = asyncio.Lock()

    async def send(self, topic: str, messages: Sequence[Message], step: DurableStep) -> None:
        """Return once every message is acknowledged; see `Bus.send_batch`."""
        if not messages:
            return
        async with self._lock:
            if self._producer is None:
                self._producer = await open_producer(self._settings, f"{self._service}-feed")
            step.before()
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await _send(self._producer, self._settings.on_kafka(topic), messages)
            except (KafkaError, OSError, TimeoutError) as error:
                await self.close()
                raise unreachable(error) from error
            except BaseException:
                await self.close()
                raise
            step.after()

    async def close(self) -> None:
        """Close the producer, if there is one."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await close_producer(producer)


async def _send(producer: AIOKafkaProducer, topic: str, messages: Sequence[Message]) -> None:
    partitions = sorted(await producer.partitions_for(topic))
    by_partition: dict[int, list[Message]] = defaultdict(list)
    for message in messages:
        by_partition[_partition(message[0], partitions)].append(message)
    futures = []
    for partition, rows in by_partition.items():
        futures += await _send_partition(producer, topic, partition, rows)
    await asyncio.gather(*futures)


async def _send_partition(
    producer: AIOKafkaProducer, topic: str, partition: int, rows: list[Message]
) -> list[asyncio.Future[object]]:
    """Fill batches in order; a message that does not fit opens the next one."""
    futures = []
    batch = producer.create_batch()
    now_ms = int(time.time() * 1000)
    for key, value, headers in rows:
        pairs = to_kafka(headers)
        if batch.append(key=key, value=value, timestamp=now_ms, headers=pairs) is None:
            futures.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            batch.append(key=key, value=value, timestamp=now_ms, headers=pairs)
    futures.append(await producer.send_batch(batch, topic, partition=partition))
    return futures


def _partition(key: bytes, partitions: list[int]) -> int:
    """The same choice as the client's own for single messages, so that a key has one partition."""
    return int(_partitioner(key, partitions, partitions))
