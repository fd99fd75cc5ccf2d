"""Slots and run numbers on a real Postgres: the locks and unique keys that the rules rest on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from holdfast.common.clock import ManualClock, SystemClock, TimeOrderedIds
from holdfast.common.contracts.differ import ChangeCounts, ObjectDiffed
from holdfast.common.contracts.extractor import (
    ExtractionPlanned,
    ExtractionRefused,
    ObjectExtracted,
    ObjectFailed,
    PlannedObject,
)
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.leases import Leases
from holdfast.common.meta import Meta
from holdfast.common.postgres import Database, Unit
from holdfast.scheduler import handlers, store
from holdfast.scheduler.domain.job import CreateJob
from holdfast.scheduler.domain.run import CancelRun, Order, PauseRun, ResumeRun
from holdfast.scheduler.due_slots import DueSlots
from holdfast.scheduler.steps import (
    DIFF_FOLDED,
    JOB_CHANGED,
    JOB_CREATED,
    LOSS_FOLDED,
    PLAN_FOLDED,
    REFUSAL_FOLDED,
    RUN_ORDERED,
    RUN_REQUESTED,
)

pytestmark = pytest.mark.integration

START = datetime(2026, 3, 1, 1, 30, tzinfo=UTC)
IDS = TimeOrderedIds()
LEASE = timedelta(seconds=3)


def meta() -> Meta:
    return Meta(correlation_id=IDS.new(), causation_id=None, actor="test")


@pytest.fixture
async def db(postgres_dsn: str) -> AsyncIterator[Database]:
    opened = await Database.open(postgres_dsn, "scheduler")
    await opened.migrate("holdfast.scheduler")
    yield opened
    await opened.close()


async def new_job(db: Database, cron: str = "", name: str = "Nightly") -> UUID:
    command = CreateJob(IDS.new(), name, IDS.new(), (), cron, "UTC", START)
    await db.run(JOB_CREATED, lambda unit: handlers.create_job(unit, command, meta()))
    return command.job_id


async def open_run(db: Database, job_id: UUID, slot: datetime | None = None) -> UUID:
    order = handlers.RunOrder(IDS.new(), "manual", "", False, slot, START)

    async def work(unit: Unit) -> bool:
        return await handlers.open_run(unit, job_id, order, meta())

    assert await db.run(RUN_REQUESTED, work)
    return order.run_id


async def refuse(db: Database, run_id: UUID, job_id: UUID) -> None:
    event = ExtractionRefused(run_id=run_id, job_id=job_id, run=1, reason="No.")
    await db.run(REFUSAL_FOLDED, lambda unit: handlers.refuse_run(unit, event, meta(), START))


async def runs_of(db: Database, job_id: UUID) -> list[tuple[int, str, str]]:
    rows = await store.list_runs(db, job_id, None, 100)
    return [(row["number"], row["trigger"], row["state"]) for row in rows]


async def test_of_many_requests_at_once_one_wins_and_no_number_is_lost(db: Database) -> None:
    job_id = await new_job(db)
    for _ in range(3):
        asked = await asyncio.gather(*(open_run(db, job_id) for _ in range(4)), return_exceptions=True)
        opened = [one for one in asked if isinstance(one, UUID)]
        refused = [one for one in asked if isinstance(one, HoldfastError)]
        assert len(opened) == 1
        assert {one.code for one in refused} == {"run-active"}
        await refuse(db, opened[0], job_id)
    assert [number for number, _, _ in await runs_of(db, job_id)] == [3, 2, 1]


async def test_name_is_given_once(db: Database) -> None:
    await new_job(db)
    with pytest.raises(HoldfastError) as refused:
        await new_job(db)
    assert (refused.value.kind, refused.value.field) == (Kind.CONFLICT, "name")
    assert refused.value.message == "There is already a job named 'Nightly'. Choose another name."
    assert await db.fetchval("SELECT count(*) FROM outbox") == 1
    assert await db.fetchval("SELECT count(*) FROM events") == 1


async def test_missed_slots_are_caught_up_once(db: Database) -> None:
    job_id = await new_job(db, cron="0 * * * *")
    clock = ManualClock(START)
    due = DueSlots(db, Leases(db, SystemClock(), "one"), clock, IDS, LEASE)
    assert not await due.fire_one()
    clock.advance(timedelta(hours=5))  # 06:30; 02:00 to 06:00 were missed
    assert await due.fire_one()
    assert not await due.fire_one()
    assert await runs_of(db, job_id) == [(1, "slot", "requested")]
    job = await store.get_job(db, job_id)
    assert job is not None
    assert job["next_run_at"] == datetime(2026, 3, 1, 7, 0, tzinfo=UTC)
    await due.release()


async def test_slot_waits_for_the_end_of_the_active_run(db: Database) -> None:
    job_id = await new_job(db, cron="0 * * * *")
    first = await open_run(db, job_id)
    clock = ManualClock(START + timedelta(hours=1))
    due = DueSlots(db, Leases(db, SystemClock(), "one"), clock, IDS, LEASE)
    assert not await due.fire_one()
    await refuse(db, first, job_id)
    assert await due.fire_one()
    assert await runs_of(db, job_id) == [(2, "slot", "requested"), (1, "manual", "failed")]
    await due.release()


async def test_only_the_holder_of_the_lease_fires(db: Database) -> None:
    await new_job(db, cron="0 * * * *")
    clock = ManualClock(START + timedelta(hours=1))
    one = DueSlots(db, Leases(db, SystemClock(), "one"), clock, IDS, LEASE)
    other = DueSlots(db, Leases(db, SystemClock(), "other"), clock, IDS, LEASE)
    assert await one.fire_one()
    clock.advance(timedelta(hours=1))
    assert not await other.fire_one()
    await one.release()
    assert not await other.fire_one()  # it has the lease now, but the run is still active
    await other.release()


async def test_reports_in_parallel_end_the_run_once(db: Database) -> None:
    job_id = await new_job(db)
    run_id = await open_run(db, job_id)
    names = [f"Object{number}__c" for number in range(6)]
    planned = ExtractionPlanned(
        run_id=run_id,
        job_id=job_id,
        run=1,
        objects=[
            PlannedObject(object=name, mode="baseline", strategy="rest", estimated_rows=1, estimated_calls=1)
            for name in names
        ],
    )

    async def plan(unit: Unit) -> None:
        await handlers.accept_plan(unit, planned, meta(), START)

    async def lose(name: str) -> None:
        event = ObjectFailed(run_id=run_id, job_id=job_id, run=1, object=name, reason="Locked.", code="x")
        await db.run(LOSS_FOLDED, lambda unit: handlers.lose_object(unit, event, meta(), START))

    await asyncio.gather(*(lose(name) for name in names), db.run(PLAN_FOLDED, plan))
    assert await runs_of(db, job_id) == [(1, "manual", "failed")]
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE topic = 'holdfast.scheduler.run'") == 2
    objects = await store.run_objects(db, run_id)
    assert [(row["state"], row["mode"], row["reason"]) for row in objects] == [("failed", "baseline", "Locked.")] * 6


async def test_progress_of_an_object_never_goes_back(db: Database) -> None:
    job_id = await new_job(db)
    run_id = await open_run(db, job_id)
    about: dict[str, Any] = {"run_id": run_id, "job_id": job_id, "run": 1}
    read = ObjectExtracted(**about, object="A", mode="full", pages=1, rows=3, manifest="m", api_calls=2, watermark=None)
    held = ObjectDiffed(
        **about,
        object="A",
        table="t",
        version=1,
        chain_head="h",
        rows_read=3,
        bytes_written=1,
        counts=ChangeCounts(created=3),
    )
    lost = ObjectFailed(**about, object="A", reason="Locked.", code="x")
    seen = []
    for fold in (
        lambda unit: handlers.hold_object(unit, held, meta(), START),
        lambda unit: handlers.note_read(unit, read),
        lambda unit: handlers.lose_object(unit, lost, meta(), START),
        lambda unit: handlers.hold_object(unit, held, meta(), START),
    ):
        await db.run(DIFF_FOLDED, fold)
        [row] = await store.run_objects(db, run_id)
        seen.append((row["state"], row["api_calls"], row["created"], row["reason"]))
    assert seen == [
        ("diffed", 0, 3, ""),
        ("diffed", 2, 3, ""),
        ("failed", 2, 3, "Locked."),
        ("failed", 2, 3, "Locked."),
    ]


async def test_report_on_an_unknown_run_is_refused(db: Database) -> None:
    run_id = IDS.new()
    with pytest.raises(HoldfastError) as refused:
        await refuse(db, run_id, IDS.new())
    assert refused.value.message == f"There is no run '{run_id}'."


async def order(db: Database, run_id: UUID, what: Order) -> None:
    await db.run(RUN_ORDERED, lambda unit: handlers.order_run(unit, run_id, what, meta()))


async def test_slot_that_came_due_during_a_paused_run_fires_once_after_it_was_cancelled(db: Database) -> None:
    job_id = await new_job(db, cron="0 * * * *")
    clock = ManualClock(START)
    run_id = await open_run(db, job_id)
    await order(db, run_id, PauseRun())
    clock.advance(timedelta(hours=3))  # three slots come due
    first = DueSlots(db, Leases(db, SystemClock(), "first"), clock, IDS, LEASE)
    assert not await first.fire_one()
    await order(db, run_id, ResumeRun())
    assert not await first.fire_one()
    await order(db, run_id, CancelRun(clock.now()))
    await order(db, run_id, CancelRun(clock.now()))
    await first.release()
    # The scheduler restarts: what was due is in the database, not in a process.
    again = DueSlots(db, Leases(db, SystemClock(), "again"), clock, IDS, LEASE)
    assert await again.fire_one()
    assert not await again.fire_one()
    await again.release()
    assert await runs_of(db, job_id) == [(2, "slot", "requested"), (1, "manual", "cancelled")]
    types = [row["ce"] for row in await db.fetch("SELECT headers::jsonb ->> 'ce_type' AS ce FROM outbox ORDER BY id")]
    assert [name.split(".")[3] for name in types if ".run." in name] == [
        "requested", "paused", "resumed", "cancelled", "requested"
    ]  # fmt: skip


async def test_late_reports_on_a_cancelled_run_free_nothing_and_end_nothing(db: Database) -> None:
    job_id = await new_job(db)
    run_id = await open_run(db, job_id)
    await order(db, run_id, CancelRun(START))
    following = await open_run(db, job_id)
    await refuse(db, run_id, job_id)
    assert await runs_of(db, job_id) == [(2, "manual", "requested"), (1, "manual", "cancelled")]
    assert await db.fetchval("SELECT active_run_id FROM job") == following


async def test_api_limit_of_the_job_is_that_of_its_next_run(db: Database) -> None:
    job_id = await new_job(db)
    await db.run(JOB_CHANGED, lambda unit: handlers.change_api_limit(unit, job_id, 40, meta()))
    await open_run(db, job_id)
    asked = await db.fetchval("SELECT convert_from(payload, 'UTF8') FROM outbox ORDER BY id DESC LIMIT 1")
    assert '"api_limit_percent":40' in asked
