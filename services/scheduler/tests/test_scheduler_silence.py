"""A run of which nothing is heard any more is named, and nothing else happens to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from holdfast.common.failpoints import durable_step
from holdfast.common.postgres import Database, Unit
from holdfast.scheduler import store
from holdfast.scheduler.domain.job import JobCreated
from holdfast.scheduler.domain.run import RunEnded, RunOpened, Totals
from holdfast.scheduler.silence import Silence

pytestmark = pytest.mark.integration
WRITTEN = durable_step("test.scheduler_silence")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB, OLD, NEW, ENDED = (UUID(int=number) for number in range(1, 5))
DAY = timedelta(days=1)


async def _fill(unit: Unit) -> None:
    created = JobCreated(
        job_id=JOB, name="n", connection_id=JOB, objects=(), cron="", time_zone="UTC", created_at=NOW
    )  # fmt: skip
    await store.insert_job(unit, created, None)
    for number, run_id in enumerate((OLD, NEW, ENDED), start=1):
        opened = RunOpened(
            run_id=run_id, job_id=JOB, number=number, trigger="manual", label="", full=False, requested_at=NOW
        )  # fmt: skip
        await store.insert_run(unit, opened, None, 80)
    ended = RunEnded(state="failed", objects=0, totals=Totals(), missing=(), reason="r", completed_at=NOW)
    await store.end_run(unit, ENDED, ended)
    await unit.execute("UPDATE run SET heard_at = heard_at - interval '25 hours' WHERE run_id <> $1", NEW)


@pytest.fixture
async def db(postgres_dsn: str) -> AsyncIterator[Database]:
    database = await Database.open(postgres_dsn, "scheduler")
    await database.migrate("holdfast.scheduler")
    await database.run(WRITTEN, _fill)
    yield database
    await database.close()


async def test_a_silent_run_is_named_once_until_something_is_heard_of_it(db: Database) -> None:
    silence = Silence(db, DAY)
    with capture_logs() as logs:
        for _ in range(2):
            assert await silence.look() is False
    assert silence.runs == [OLD], "neither the young one nor the one that ended"
    assert [(entry["event"], entry["run_id"], entry["log_level"]) for entry in logs] == [
        ("run_silent", str(OLD), "warning")
    ]
    await db.run(WRITTEN, lambda unit: store.lock_run(unit, OLD))
    await silence.look()
    assert silence.runs == []
