"""`holdfast outbox` on a real Postgres."""

from __future__ import annotations

import asyncio
import json
from uuid import UUID, uuid4

import pytest

from holdfast.common.contracts.connections import ConnectionRecovered
from holdfast.common.failpoints import durable_step
from holdfast.common.meta import Meta
from holdfast.common.outbox import enqueue
from holdfast.common.postgres import Database

pytestmark = pytest.mark.integration
PUBLISHED = durable_step("test.launcher_cli_outbox")
TIMES = ("2026-03-27T12:00:00+00:00", "2026-03-28T12:00:00+00:00", "2026-03-29T12:00:00+00:00")


async def _publish(dsn: str) -> None:
    """One event of each time, as the relay leaves them."""
    db = await Database.open(dsn, "connections", max_size=1)
    try:
        await db.migrate()
        async with db.unit(PUBLISHED) as unit:
            for time in TIMES:
                await enqueue(unit, ConnectionRecovered(connection_id=UUID(int=1)), Meta(uuid4(), None, "test"))
                await unit.execute(
                    "UPDATE outbox SET published_at = $1::text::timestamptz WHERE published_at IS NULL", time
                )
    finally:
        await db.close()


async def _waiting(dsn: str) -> list[int]:
    db = await Database.open(dsn, "connections", max_size=1)
    try:
        rows = await db.fetch("SELECT number FROM outbox WHERE published_at IS NULL ORDER BY id")
        return [row["number"] for row in rows]
    finally:
        await db.close()


@pytest.fixture
def published_dsn(postgres_dsn: str) -> str:
    asyncio.run(_publish(postgres_dsn))
    return postgres_dsn


def test_events_since_a_time_then_all_are_marked_to_be_sent_again(cli, published_dsn):
    since = ("--since", "2026-03-28T12:00:00")
    result = cli.type("outbox", "resend", "connections", *since, HOLDFAST_POSTGRES=published_dsn)
    assert (result.exit_code, result.stdout.split(",")[0]) == (0, "connections sends 2 events again")
    assert asyncio.run(_waiting(published_dsn)) == [2, 3]
    (cli.data / "postgres-dsn").write_text(published_dsn)
    result = cli.type("outbox", "resend", "connections", "--json")
    assert json.loads(result.stdout) == {"service": "connections", "events": 1}
    assert asyncio.run(_waiting(published_dsn)) == [1, 2, 3]
    assert "none is sent again" in cli.type("outbox", "resend", "connections").stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [(["gateway"], 2), (["connections", "--since", "yesterday"], 2), (["history"], 4)],
)
def test_what_cannot_be_sent_again_is_refused_in_one_sentence(cli, published_dsn, words, code):
    result = cli.type("outbox", "resend", *words, HOLDFAST_POSTGRES=published_dsn)
    assert result.exit_code == code and result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
    assert asyncio.run(_waiting(published_dsn)) == []


def test_the_help_says_how_long_events_are_kept(cli):
    assert "7 days" in cli.type("outbox", "resend", "--help").stdout
