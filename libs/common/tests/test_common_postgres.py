"""Units, migrations, event store, idempotent commands and leases on a real Postgres."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from holdfast.common.clock import SystemClock
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import durable_step
from holdfast.common.idempotency import once
from holdfast.common.leases import Lease, Leases
from holdfast.common.postgres import Database, UniqueViolationError, Unit

pytestmark = pytest.mark.integration
STEP = durable_step("test.postgres")
TTL = timedelta(seconds=30)


async def one(db: Database, sql: str) -> object:
    return await db.fetchval(sql)


async def test_a_unit_commits_and_then_calls_back(db: Database) -> None:
    called: list[str] = []
    async with db.unit(STEP) as unit:
        await unit.execute("CREATE TABLE t (a int)")
        unit.after_commit(lambda: called.append("done"))
        assert called == []
    assert called == ["done"]
    assert await one(db, "SELECT count(*) FROM t") == 0


async def test_a_failed_unit_leaves_nothing_and_calls_nobody(db: Database) -> None:
    called: list[str] = []
    with pytest.raises(ValueError, match="no"):
        async with db.unit(STEP) as unit:
            await unit.execute("CREATE TABLE t (a int)")
            unit.after_commit(lambda: called.append("done"))
            raise ValueError("no")
    assert called == []
    assert await one(db, "SELECT to_regclass('t')") is None


async def test_a_connection_goes_back_without_a_statement_and_never_with_an_open_transaction(db: Database) -> None:
    said: list[str] = []
    async with db.acquire() as connection:
        connection.add_query_logger(lambda query: said.append(query.query))
    assert said == []
    async with db.acquire() as connection:  # of the same pool of one
        await connection.execute("BEGIN; CREATE TABLE left_open (a int)")
        process = connection.get_server_pid()
    async with db.acquire() as connection:
        assert connection.get_server_pid() == process
        assert await connection.fetchval("SELECT to_regclass('left_open')") is None
    assert said[1:2] == ["ROLLBACK"]


async def test_a_unique_violation_names_its_constraint(db: Database) -> None:
    async with db.unit(STEP) as unit:
        await unit.execute("CREATE TABLE t (a int CONSTRAINT a_once UNIQUE)")
    with pytest.raises(UniqueViolationError) as caught:
        async with db.unit(STEP) as unit:
            await unit.executemany("INSERT INTO t VALUES ($1)", [(1,), (1,)])
    assert (caught.value.constraint, caught.value.kind) == ("a_once", Kind.CONFLICT)


async def test_records_are_copied(db: Database) -> None:
    async with db.unit(STEP) as unit:
        await unit.execute("CREATE TABLE t (a int, b text)")
        await unit.copy_records_to_table("t", records=[(1, "x"), (2, None)], columns=("a", "b"))
    assert [tuple(row) for row in await db.fetch("SELECT a, b FROM t ORDER BY a")] == [(1, "x"), (2, None)]


async def test_a_killed_connection_is_a_transient_error_and_run_survives_it(db: Database) -> None:
    tries = 0

    async def work(unit: Unit) -> int:
        nonlocal tries
        tries += 1
        if tries == 1:
            pid = await unit.fetchval("SELECT pg_backend_pid()")
            killer = await asyncpg.connect(db.dsn)
            await killer.execute("SELECT pg_terminate_backend($1)", pid)
            await killer.close()
        return int(await unit.fetchval("SELECT 1"))

    assert await db.run(STEP, work) == 1
    assert tries == 2


async def test_a_deadlock_is_run_again(db: Database) -> None:
    async with db.unit(STEP) as unit:
        await unit.execute("CREATE TABLE t (a int PRIMARY KEY, n int NOT NULL)")
        await unit.execute("INSERT INTO t VALUES (1, 0), (2, 0)")
    both_hold_one = asyncio.Barrier(2)

    async def cross(first: int, second: int) -> None:
        tries = 0

        async def work(unit: Unit) -> None:
            nonlocal tries
            tries += 1
            await unit.execute("UPDATE t SET n = n + 1 WHERE a = $1", first)
            if tries == 1:
                await both_hold_one.wait()
            await unit.execute("UPDATE t SET n = n + 1 WHERE a = $1", second)

        await db.run(STEP, work)

    await asyncio.gather(cross(1, 2), cross(2, 1))
    assert [row["n"] for row in await db.fetch("SELECT n FROM t")] == [2, 2]


async def test_a_mistake_in_sql_is_not_retried(db: Database) -> None:
    tries = 0

    async def work(unit: Unit) -> None:
        nonlocal tries
        tries += 1
        await unit.execute("SELEKT 1")

    with pytest.raises(HoldfastError) as caught:
        await db.run(STEP, work)
    assert (caught.value.kind, tries) == (Kind.INTERNAL, 1)


async def test_an_unreachable_server_is_unavailable() -> None:
    with pytest.raises(HoldfastError) as caught:
        await Database.open("postgresql://127.0.0.1:1/x", "svc")
    assert caught.value.kind is Kind.UNAVAILABLE


@pytest.fixture
def service_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / f"svc_{tmp_path.name}" / "migrations"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "0001_pre_things.sql").write_text("CREATE TABLE things (a int);")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


async def test_migrations_run_once_in_order(db: Database, service_package: Path) -> None:
    package = service_package.parent.name
    await db.migrate(package)
    (service_package / "0002_post_more.sql").write_text("ALTER TABLE things ADD b int;")
    await asyncio.gather(db.migrate(package), db.migrate(package))
    assert await one(db, f"SELECT count(*) FROM migration WHERE package = '{package}'") == 2
    await db.fetch("SELECT a, b FROM things")


async def test_an_altered_migration_is_refused(db: Database, service_package: Path) -> None:
    package = service_package.parent.name
    await db.migrate(package)
    (service_package / "0001_pre_things.sql").write_text("CREATE TABLE things (a bigint);")
    with pytest.raises(HoldfastError, match="was altered after it ran"):
        await db.migrate(package)


async def test_a_broken_migration_leaves_nothing(db: Database, service_package: Path) -> None:
    (service_package / "0002_post_broken.sql").write_text("ALTER TABLE nowhere ADD b int;")
    with pytest.raises(HoldfastError):
        await db.migrate(service_package.parent.name)
    assert await one(db, "SELECT to_regclass('things')") is None


async def command(db: Database, key: str, text: str, done: list[str]) -> str:
    async def work(unit: Unit) -> str:
        async def make() -> StringValue:
            done.append(text)
            return StringValue(value=f"did {text}")

        return (await once(unit, key, StringValue(value=text), make)).value

    return await db.run(STEP, work)


async def test_a_repeated_command_gets_the_first_answer(db: Database) -> None:
    done: list[str] = []
    answers = await asyncio.gather(*(command(db, "k", "x", done) for _ in range(4)))
    assert (answers, done) == (["did x"] * 4, ["x"])


async def test_a_key_with_another_request_is_refused(db: Database) -> None:
    await command(db, "k", "x", [])
    with pytest.raises(HoldfastError) as caught:
        await command(db, "k", "y", [])
    assert caught.value.code == "idempotency-key-reused"


async def test_no_key_means_no_memory(db: Database) -> None:
    done: list[str] = []
    for _ in range(2):
        await command(db, "", "x", done)
    assert done == ["x", "x"]


async def test_a_failed_command_may_be_tried_again(db: Database) -> None:
    async def fail() -> StringValue:
        raise HoldfastError(Kind.INVALID, "no")

    with pytest.raises(HoldfastError, match="no"):
        async with db.unit(STEP) as unit:
            await once(unit, "k", StringValue(value="x"), fail)
    assert await command(db, "k", "x", []) == "did x"


async def acquire(db: Database, holder: str, ttl: timedelta = TTL) -> Lease | None:
    return await Leases(db, SystemClock(), holder).acquire("table", ttl)


async def test_a_lease_has_one_holder_and_growing_epochs(db: Database) -> None:
    first = await acquire(db, "a")
    assert first is not None
    assert await acquire(db, "b") is None
    await first.release()
    second = await acquire(db, "b")
    assert second is not None
    assert second.epoch == first.epoch + 1
    await second.release()


async def expire(db: Database) -> None:
    async with db.unit(STEP) as unit:
        await unit.execute("UPDATE lease SET expires_at = clock_timestamp() - interval '1 s'")


async def test_an_expired_holder_is_fenced(db: Database) -> None:
    old = await acquire(db, "a")
    assert old is not None
    await expire(db)
    new = await acquire(db, "b")
    assert new is not None
    with pytest.raises(HoldfastError) as caught:
        async with db.unit(STEP) as unit:
            await old.guard(unit)
    assert caught.value.kind is Kind.FENCED
    assert old.lost.is_set()
    async with db.unit(STEP) as unit:
        await new.guard(unit)
    await old.release()
    async with db.unit(STEP) as unit:
        await new.guard(unit)  # the old holder's release took nothing from the new one
    await new.release()


async def test_nobody_takes_a_lease_while_its_holder_commits(db: Database) -> None:
    lease = await acquire(db, "a")
    assert lease is not None
    await expire(db)
    async with db.unit(STEP) as unit:
        await lease.guard(unit)
        taking = asyncio.create_task(acquire(db, "b"))
        await asyncio.sleep(0.1)
        assert not taking.done()
    taken = await taking
    assert taken is not None
    await taken.release()
    await lease.release()


async def test_the_heartbeat_keeps_a_lease_and_notices_its_loss(db: Database) -> None:
    lease = await acquire(db, "a", timedelta(milliseconds=300))
    assert lease is not None
    await asyncio.sleep(0.6)
    assert await acquire(db, "b") is None
    async with db.unit(STEP) as unit:
        await unit.execute("UPDATE lease SET epoch = epoch + 1")
    async with asyncio.timeout(2):
        await lease.lost.wait()
    await lease.release()


async def test_hold_waits_for_its_turn(db: Database) -> None:
    leases, order = Leases(db, SystemClock(), "a"), []

    async def turn(name: str) -> None:
        async with leases.hold("table", TTL):
            order.append(f"{name} in")
            await asyncio.sleep(0.05)
            order.append(f"{name} out")

    await asyncio.gather(turn("x"), turn("y"))
    assert [word.split()[1] for word in order] == ["in", "out", "in", "out"]
