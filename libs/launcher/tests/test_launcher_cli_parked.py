"""`holdfast parked` on a real Postgres."""

from __future__ import annotations

import asyncio
import json

import pytest

from holdfast.common.failpoints import durable_step
from holdfast.common.parked import Incoming, park
from holdfast.common.postgres import Database

pytestmark = pytest.mark.integration
PARKED = durable_step("test.launcher_cli_parked")


async def _park(dsn: str) -> None:
    db = await Database.open(dsn, "differ", max_size=1)
    try:
        await db.migrate()
        message = Incoming("holdfast.extractor.page", 0, 17, b"k", b"\x00", ())
        async with db.unit(PARKED) as unit:
            await park(unit, "differ", message, "holdfast.extractor.page.staged.v1", "cannot be read")
    finally:
        await db.close()


@pytest.fixture
def parked_dsn(postgres_dsn: str) -> str:
    asyncio.run(_park(postgres_dsn))
    return postgres_dsn


def test_parked_message_is_listed_and_replayed_once(cli, parked_dsn):
    listed = json.loads(cli.type("parked", "list", "--json", HOLDFAST_POSTGRES=parked_dsn).stdout)
    assert [(each["service"], each["reason"], each["offset"]) for each in listed] == [("differ", "cannot be read", 17)]
    number = str(listed[0]["id"])
    lines = cli.type("parked", "list", HOLDFAST_POSTGRES=parked_dsn).stdout.splitlines()
    assert lines[1].split()[:3] == ["differ", number, "holdfast.extractor.page.staged.v1"]

    assert cli.type("parked", "replay", "differ", number, HOLDFAST_POSTGRES=parked_dsn).exit_code == 0
    assert "No messages are parked." in cli.type("parked", "list", HOLDFAST_POSTGRES=parked_dsn).stdout
    again = cli.type("parked", "replay", "differ", number, HOLDFAST_POSTGRES=parked_dsn)
    assert again.exit_code == 4 and again.stderr.count("\n") == 1


def test_drop_asks_first_and_the_dsn_may_come_from_the_data_folder(cli, parked_dsn):
    (cli.data / "postgres-dsn").write_text(parked_dsn)
    number = str(json.loads(cli.type("parked", "list", "--json").stdout)[0]["id"])
    assert cli.type("parked", "drop", "differ", number, stdin="n\n").exit_code == 1
    assert len(json.loads(cli.type("parked", "list", "--json").stdout)) == 1
    assert cli.type("parked", "drop", "differ", number, "--yes").exit_code == 0
    assert json.loads(cli.type("parked", "list", "--json").stdout) == []


def test_services_that_never_started_have_nothing_parked(cli, postgres_dsn):
    assert cli.type("parked", "list", HOLDFAST_POSTGRES=postgres_dsn).exit_code == 0
    assert cli.type("parked", "replay", "differ", "1", HOLDFAST_POSTGRES=postgres_dsn).exit_code == 4


def test_postgres_that_does_not_answer(cli):
    result = cli.type("parked", "list", HOLDFAST_POSTGRES="postgresql://127.0.0.1:1/nothing")
    assert result.exit_code == 3 and result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
