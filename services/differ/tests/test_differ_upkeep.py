"""A table that rests is merged, cleared and checked; nothing that is said of it changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from differ_table import KEY, Differ, records

from holdfast.common.postgres import Database
from holdfast.differ import store
from holdfast.vault.index_store import same_entries
from holdfast.vault.reading import state_at
from holdfast.vault.table import RecordTable
from holdfast.vault.verify import verify_table

pytestmark = pytest.mark.integration


async def small_runs(differ: Differ, first: int = 1, last: int = 5) -> None:
    for run in range(first, last + 1):
        await differ.stage(run, "baseline" if run == 1 else "incremental", records(run, run + 1, name=f"n{run}"))
    await differ.drain()


def files(differ: Differ) -> list[Path]:
    return sorted((differ.folder / "vault" / f"{KEY.job_id}/records/{KEY.object}").glob("*/*-*.parquet"))


def state(differ: Differ) -> list[Any]:
    return [state_at(differ.root, str(KEY.job_id), KEY.object, run).to_pylist() for run in range(1, 9)]


def damage(differ: Differ, table: RecordTable) -> list[Any]:
    key = Ed25519PrivateKey.from_private_bytes(b"k" * 32).public_key()
    return verify_table(differ.root, table.job_id, table.object, key=key, expected=table.head).damage


async def test_a_table_of_small_files_is_merged_while_it_rests(differ: Differ) -> None:
    await small_runs(differ)
    before = state(differ)
    assert await differ.upkeep.next_table() == KEY
    await differ.upkeep.keep_up(KEY, differ.lease)
    row = await store.get_table(differ.db, KEY)
    table = await differ.tables.get(KEY, row)
    assert (row.commit_seq, row.version, row.chain_head) == (5, table.version, table.head.head)
    assert len(table.index.layout.stored()) == 1 and len(files(differ)) == 6
    assert state(differ) == before and damage(differ, table) == []
    assert await differ.upkeep.next_table() is None, "nothing is left to do"
    await small_runs(differ, 6, 7)
    assert (await store.get_table(differ.db, KEY)).commit_seq == 7
    assert len(await differ.said("changes.committed")) == 7, "a compaction is no change"


async def test_replaced_files_go_after_their_grace(differ: Differ) -> None:
    await small_runs(differ)
    before = state(differ)
    await differ.upkeep.next_table()
    await differ.upkeep.keep_up(KEY, differ.lease)
    differ.clock.advance(timedelta(days=6))
    assert await differ.upkeep.next_table() is None
    differ.clock.advance(timedelta(days=2))
    assert await differ.upkeep.next_table() == KEY
    await differ.upkeep.keep_up(KEY, differ.lease)
    assert len(files(differ)) == 1 and state(differ) == before
    assert await store.upkeep_of(differ.db, KEY) == (None, (await store.upkeep_of(differ.db, KEY))[1])
    assert await differ.upkeep.next_table() is None
    assert damage(differ, await differ.tables.get(KEY, await store.get_table(differ.db, KEY))) == []


async def test_a_compaction_that_was_not_recorded_does_not_stand_in_the_way(
    differ: Differ, monkeypatch: pytest.MonkeyPatch
) -> None:
    await small_runs(differ)

    async def lost(self: Database, *_: Any) -> None:
        raise ConnectionError("gone")

    with monkeypatch.context() as patched:
        patched.setattr(Database, "run", lost)
        with pytest.raises(ConnectionError):
            await differ.upkeep.keep_up(KEY, differ.lease)
    row = await store.get_table(differ.db, KEY)
    table = await differ.tables.get(KEY, row)
    assert row.version < table.version
    await small_runs(differ, 6, 6)
    row = await store.get_table(differ.db, KEY)
    assert (row.commit_seq, row.version) == (6, (await differ.tables.get(KEY, row)).version)
    assert damage(differ, await differ.tables.get(KEY, row)) == []


async def test_another_replica_sees_the_compaction(differ: Differ) -> None:
    await small_runs(differ)
    other = Differ(differ.db, differ.folder, differ.lease)
    held = await other.tables.get(KEY, await store.get_table(differ.db, KEY))
    await differ.upkeep.keep_up(KEY, differ.lease)
    found = await other.tables.get(KEY, await store.get_table(differ.db, KEY))
    assert found is not held and len(found.index.layout.stored()) == 1


async def test_a_wrong_index_is_found_and_made_anew(differ: Differ) -> None:
    await small_runs(differ)
    row = await store.get_table(differ.db, KEY)
    table = await differ.tables.get(KEY, row)
    right = table.index
    wrong = pl.concat(right.pieces()).with_columns(pl.col("print") + 1)
    table.index = replace(right, rows=right.rows.with_rows(wrong))
    table.save_index()
    differ.clock.advance(timedelta(days=31))
    assert await differ.upkeep.next_table() == KEY
    await differ.upkeep.keep_up(KEY, differ.lease)
    assert same_entries(table.index, right)
    differ.tables.forget(KEY)
    assert same_entries((await differ.tables.get(KEY, row)).index, right), "the stored one is right as well"
    assert await differ.upkeep.next_table() is None
