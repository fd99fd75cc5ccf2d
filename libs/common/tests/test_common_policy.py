"""No subscriber without the policy that loses nothing."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from faststream.kafka.subscriber.usecase import DefaultSubscriber
from faststream.middlewares.acknowledgement.config import AckPolicy

from holdfast.common import consuming
from holdfast.common.clock import SystemClock
from holdfast.common.contracts.connections import BudgetObserved, ConnectionAdded, ConnectionRecovered
from holdfast.common.contracts.registry import all_events
from holdfast.common.errors import HoldfastError
from holdfast.common.failpoints import durable_step
from holdfast.common.messaging import POLICY, Bus
from holdfast.common.postgres import COMMAND_TIMEOUT_S, server_settings, translated
from holdfast.common.settings import Settings

HANDLE = durable_step("test.lint")


async def handler(unit: Any, event: Any, meta: Any) -> None:
    """Never called."""


@pytest.fixture
def bus(settings: Settings) -> Bus:
    return Bus(settings, "svc", object(), SystemClock())  # type: ignore[arg-type]  # nothing is started


class TestConsumerPolicy:
    """FastStream acknowledges first and reads from the latest offset unless told otherwise."""

    def test_every_subscriber_has_it(self, bus: Bus) -> None:
        for event in all_events():
            bus.consume(event, handler, step=HANDLE)
        subscribers = list(bus.broker.subscribers)
        assert len(subscribers) == len({event.topic() for event in all_events()})
        for subscriber in subscribers:
            assert isinstance(subscriber, DefaultSubscriber)
            assert subscriber.ack_policy is AckPolicy.NACK_ON_ERROR
            options = subscriber._connection_args
            assert options["auto_offset_reset"] == "earliest"
            assert options["isolation_level"] == "read_committed"
            assert options["enable_auto_commit"] is False
            assert options["max_poll_interval_ms"] >= 600_000
            assert options["session_timeout_ms"] >= 45_000
            assert options["rebalance_timeout_ms"] >= 120_000
            assert options["heartbeat_interval_ms"] <= options["session_timeout_ms"] / 3
            assert subscriber.group_id
            assert subscriber._listener is not None

    def test_a_forgotten_subscriber_is_safe_too(self, bus: Bus) -> None:
        assert bus.broker.subscriber("t", group_id="g").ack_policy is AckPolicy.NACK_ON_ERROR

    def test_retry_in_place_ends_well_before_kafka_takes_the_partition_away(self) -> None:
        longest_s = consuming.RETRY_FOR_S + consuming.RETRY_CAP.total_seconds()
        longest_s += consuming.PAUSE_BEFORE_REDELIVERY.total_seconds() + COMMAND_TIMEOUT_S
        assert longest_s < POLICY["max_poll_interval_ms"] / 1000 / 2
        assert longest_s < POLICY["rebalance_timeout_ms"] / 1000

    def test_types_of_one_topic_share_a_subscriber(self, bus: Bus) -> None:
        for event in (ConnectionAdded, ConnectionRecovered, BudgetObserved):
            bus.consume(event, handler, step=HANDLE)
        assert len(list(bus.broker.subscribers)) == 2

    def test_one_type_has_one_handler(self, bus: Bus) -> None:
        bus.consume(ConnectionAdded, handler, step=HANDLE)
        with pytest.raises(ValueError, match="twice"):
            bus.consume(ConnectionAdded, handler, step=HANDLE)


def test_every_connection_asks_for_an_end_to_what_hangs() -> None:
    options = server_settings("x")
    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        assert 0 < int(options[name]) <= 60_000
    assert int(options["statement_timeout"]) / 1000 < COMMAND_TIMEOUT_S


async def test_a_connection_that_dies_inside_the_driver_is_a_passing_error() -> None:
    async def call() -> None:
        raise asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress")

    with pytest.raises(HoldfastError) as caught:
        await translated(call)
    assert caught.value.transient
