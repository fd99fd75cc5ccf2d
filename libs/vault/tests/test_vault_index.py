"""The state index is a cache: small, replayed, rebuilt, never trusted when it does not fit."""

from __future__ import annotations

import polars as pl
import pytest
from deltalake import DeltaTable
from vault_pages import Backup, record, schema_of, swap_index

from holdfast.vault.chain import GENESIS
from holdfast.vault.chunks import RECENT_ROWS
from holdfast.vault.index import ENTRY_SCHEMA, StateIndex
from holdfast.vault.index_store import load_index, newest_index_key, read_index, rebuilt, same_entries
from holdfast.vault.log import TableLog
from holdfast.vault.refs import EventFile
from holdfast.vault.table import RecordTable

NAME = schema_of("Name")


def filled(backup: Backup, runs: int = 3) -> RecordTable:
    table = backup.open()
    for run in range(1, runs + 1):
        rows = [record(n, run, Name=f"{run}", deleted=n == run) for n in range(run + 3)]
        backup.add(table, backup.stage(rows, NAME, run=run))
    return table


def log_of(backup: Backup, table: RecordTable) -> TableLog:
    return TableLog(backup.root, table.job_id, table.object)


def test_the_index_equals_the_one_made_from_the_table(backup: Backup) -> None:
    table = filled(backup)
    fresh = rebuilt(log_of(backup, table), table.version)
    assert same_entries(table.index, fresh)
    assert fresh.head == table.index.head
    shorter = rebuilt(log_of(backup, table), table.version - 1)
    assert not same_entries(table.index, shorter)


def test_a_stored_index_is_loaded_and_newer_commits_replayed(backup: Backup) -> None:
    table = filled(backup)
    table.save_index()
    stored = load_index(log_of(backup, table), table.version)
    assert stored.version == table.version
    assert same_entries(stored, table.index)
    backup.add(table, backup.stage([record(1, 9, Name="x")], NAME, run=9))
    opened = backup.open()
    assert same_entries(opened.index, table.index)
    assert opened.index.files == table.index.files


@pytest.mark.parametrize("fault", ["bytes", "no parquet", "other history"])
def test_an_index_that_does_not_fit_is_ignored(backup: Backup, fault: str) -> None:
    table = filled(backup)
    table.save_index()
    key = newest_index_key(log_of(backup, table))
    assert key is not None
    path = backup.root.path(key)
    assert path is not None
    data = path.read_bytes()
    assert table.index.head.encode() in data
    if fault == "bytes":
        path.write_bytes(b"PAR1 no more")
    elif fault == "no parquet":
        swap_index(path, b"PAR1 no more")
    else:
        swap_index(path, data.replace(table.index.head.encode(), b"0" * 64))
    assert load_index(log_of(backup, table), table.version).version == -1
    assert same_entries(backup.open().index, table.index)


def test_no_flipped_bit_of_an_index_is_believed(backup: Backup) -> None:
    table = filled(backup)
    table.save_index()
    key = newest_index_key(log_of(backup, table))
    path = backup.root.path(key or "")
    assert path is not None
    data = path.read_bytes()
    for place in range(0, len(data), 7):
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(bytes(flipped))
        assert load_index(log_of(backup, table), table.version).version == -1, place


def test_old_index_files_are_dropped(backup: Backup) -> None:
    table = backup.open()
    for run in range(1, 5):
        backup.add(table, backup.stage([record(1, run, Name=str(run))], NAME, run=run))
        table.save_index()
        table.save_index()
    files = [entry.key for entry in backup.root.list(f"{table.job_id}/index")]
    assert len(files) == 2
    assert read_index(log_of(backup, table), max(files)).head == table.index.head


def test_superseded_checkpoints_are_dropped_and_every_version_is_read_as_before(backup: Backup) -> None:
    table = backup.open()
    for run in range(1, 45):
        backup.add(table, backup.stage([record(1, run, Name=str(run))], NAME, run=run))
    table.save_index()
    folder = backup.root.path(log_of(backup, table).folder)
    assert folder is not None
    assert [path.name[:20] for path in sorted(folder.glob("*.checkpoint.parquet"))] == [f"{n:020d}" for n in (29, 39)]
    uri = backup.root.table_uri(table.job_id, table.object)
    for version in (0, 15, 25, 35, table.version):
        expected = log_of(backup, table).layout(version).stored()
        assert len(DeltaTable(uri, version=version).file_uris()) == len(expected)
    assert same_entries(backup.open().index, rebuilt(log_of(backup, table), table.version))


def test_a_large_index_stays_small_and_right() -> None:
    """Most of it is on the disk; the newest entry of a key wins, and a record takes less than 40 bytes."""
    index = StateIndex(0, -1, GENESIS)
    rows, batches = 60_000, 8
    for number in range(batches):
        start = number * rows // 2
        changes = pl.DataFrame(
            {
                "key": pl.int_range(start, start + rows, dtype=pl.UInt64, eager=True).shuffle(seed=number),
                "print": pl.repeat(number, rows, dtype=pl.Int64, eager=True),
                "stamp": pl.repeat(number, rows, dtype=pl.Int64, eager=True),
                "row": pl.int_range(rows, dtype=pl.UInt32, eager=True),
                "deleted": pl.repeat(number == batches - 1, rows, dtype=pl.Boolean, eager=True),
            }
        )
        file = EventFile(f"{number}.parquet", "", rows, 1, f"p{number}", 1, number, "s", "full")
        index = index.with_file(file, changes)
    entries = pl.concat(index.pieces())
    total = rows // 2 * (batches + 1)
    assert len(entries) == total
    assert entries.schema == pl.Schema(ENTRY_SCHEMA)
    assert entries["key"].is_sorted()
    assert entries["print"].to_list() == [min(key // (rows // 2), batches - 1) for key in range(total)]
    assert index.alive == total - rows
    assert len(index.rows.recent) < RECENT_ROWS < total
    assert index.rows.bytes / total < 40
    found = index.lookup(pl.Series([0, total - 1, total], dtype=pl.UInt64))
    assert found["file"].to_list() == [0, batches - 1, None]
