"""The event store on a real Postgres: order, versions, what is remembered of a stream."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import ClassVar
from uuid import UUID

import pytest

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.eventstore import Decider, DomainEvent, EventTypes, append, handle, load
from holdfast.common.failpoints import durable_step
from holdfast.common.folds import Fold, Folds
from holdfast.common.meta import Meta
from holdfast.common.postgres import Database, Unit

pytestmark = pytest.mark.integration
STEP = durable_step("test.eventstore")


class Raised(DomainEvent):
    TYPE: ClassVar[str] = "raised"
    by: int


TYPES = EventTypes(Raised)
COUNTER: Decider[int, int, Raised] = Decider(
    initial=lambda: 0,
    decide=lambda command, state: [Raised(by=command)] if command else [],
    evolve=lambda state, event: state + event.by,
    types=TYPES,
)


async def test_events_come_back_in_order_with_their_meta(db: Database, meta: Meta) -> None:
    async with db.unit(STEP) as unit:
        assert await append(unit, "s", 0, [Raised(by=1), Raised(by=2)], meta) == 2
        assert await append(unit, "s", 2, [Raised(by=3)], meta) == 3
    stored = await load(db, "s", TYPES)
    assert [(item.version, item.event) for item in stored] == [(1, Raised(by=1)), (2, Raised(by=2)), (3, Raised(by=3))]
    assert stored[0].correlation_id == meta.correlation_id


@pytest.mark.parametrize("expected", [0, 2])
async def test_a_wrong_version_is_refused(db: Database, meta: Meta, expected: int) -> None:
    async with db.unit(STEP) as unit:
        await append(unit, "s", 0, [Raised(by=1)], meta)
    with pytest.raises(HoldfastError) as caught:
        async with db.unit(STEP) as unit:
            await append(unit, "s", expected, [Raised(by=2)], meta)
    assert caught.value.code == "stream-moved"


async def test_crossing_writers_both_succeed_through_run(db: Database, meta: Meta) -> None:
    async def raise_by(amount: int) -> None:
        async def work(unit: Unit) -> None:
            await handle(unit, COUNTER, "s", amount, meta)
            await asyncio.sleep(0.02)  # both have read before either commits

        await db.run(STEP, work)

    await asyncio.gather(*(raise_by(n) for n in (1, 2, 3)))
    stored = await load(db, "s", TYPES)
    assert sorted(item.event.by for item in stored if isinstance(item.event, Raised)) == [1, 2, 3]
    assert [item.version for item in stored] == [1, 2, 3]


async def test_a_command_that_changes_nothing_writes_nothing(db: Database, meta: Meta) -> None:
    async with db.unit(STEP) as unit:
        await handle(unit, COUNTER, "s", 5, meta)
        handled = await handle(unit, COUNTER, "s", 0, meta)
    assert (handled.state, handled.events, handled.version) == (5, [], 1)


async def test_a_long_stream_is_read_once_and_then_from_its_last_event(db: Database, meta: Meta) -> None:
    decoded: list[str] = []

    class Watched(EventTypes):
        def decode(self, type_name: str, payload: str) -> DomainEvent:
            decoded.append(payload)
            return super().decode(type_name, payload)

    watched = replace(COUNTER, types=Watched(Raised))
    async with db.unit(STEP) as unit:
        await append(unit, "s", 0, [Raised(by=1)] * 100, meta)
    for number in range(1, 4):
        async with db.unit(STEP) as unit:
            assert (await handle(unit, watched, "s", 1, meta)).state == 100 + number
    assert len(decoded) == 102


async def test_a_stream_that_was_put_back_under_us_is_folded_anew(db: Database, meta: Meta) -> None:
    """As after a restored backup of the database: the same versions hold other facts, or none."""

    async def add(amount: int) -> int:
        async with db.unit(STEP) as unit:
            return (await handle(unit, COUNTER, "s", amount, meta)).state

    assert [await add(1), await add(1), await add(1)] == [1, 2, 3]
    await db.fetch("DELETE FROM events WHERE version > 1")
    assert await add(10) == 11
    await db.fetch("DELETE FROM events")
    assert await add(5) == 5
    async with db.unit(STEP) as unit:
        await append(unit, "s", 1, [Raised(by=100)], meta)
    assert await add(1) == 106


async def test_facts_that_were_rolled_back_are_not_remembered(db: Database, meta: Meta) -> None:
    async with db.unit(STEP) as unit:
        await handle(unit, COUNTER, "s", 1, meta)
    with pytest.raises(ValueError, match="no"):
        async with db.unit(STEP) as unit:
            await handle(unit, COUNTER, "s", 50, meta)
            assert (await handle(unit, COUNTER, "s", 0, meta)).state == 51
            raise ValueError("no")
    async with db.unit(STEP) as unit:
        assert (await handle(unit, COUNTER, "s", 1, meta)).state == 2


def test_the_streams_used_last_are_remembered() -> None:
    folds = Folds(capacity=2)
    for stream in ("a", "b"):
        folds.put(stream, Fold(1, (), stream))
    assert folds.get("a") is not None
    folds.put("c", Fold(1, (), "c"))
    assert folds.get("b") is None
    assert [folds.get(stream) is not None for stream in ("a", "c")] == [True, True]


async def test_an_unknown_event_is_damage(db: Database, meta: Meta) -> None:
    async with db.unit(STEP) as unit:
        await append(unit, "s", 0, [Raised(by=1)], meta)
    with pytest.raises(HoldfastError) as caught:
        await load(db, "s", EventTypes())
    assert caught.value.kind is Kind.DAMAGED


async def test_two_schemas_of_one_database_share_nothing(db: Database) -> None:
    other = await Database.open(db.dsn, "other")
    await other.migrate()
    async with db.unit(STEP) as unit:
        await append(unit, "s", 0, [Raised(by=1)], Meta(UUID(int=1), None, "a"))
    assert await load(other, "s", TYPES) == []
    await other.close()
