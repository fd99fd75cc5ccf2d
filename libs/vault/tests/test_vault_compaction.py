"""Merging files changes no answer, is proven, and is done once, whatever dies meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st
from vault_pages import EAGER, JOB, KEY, NOW_MS, OBJECT, Backup, compact_and_clear, record, record_id, schema_of

import holdfast.vault.compaction as compaction_module
import holdfast.vault.table as table_module
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import registered_steps
from holdfast.vault.compaction import Merger, Policy
from holdfast.vault.feed import changes_between
from holdfast.vault.index_store import rebuilt, same_entries
from holdfast.vault.layout import Layout, Replacement, StoredFile
from holdfast.vault.log import TableLog
from holdfast.vault.reading import changes_of, count, operations, record_history, state_at
from holdfast.vault.refs import EventFile
from holdfast.vault.verify import Report, verify_table

NAME, BOTH = schema_of("Name"), schema_of("Name", "City")
RUNS = 6
CHILD = Path(__file__).parent / "vault_pages.py"
STEPS = ["vault.merged_file_put", "vault.table_compact", "vault.replaced_deleted"]


def days(backup: Backup) -> None:
    """A baseline, and small runs after it: changes, a deletion, an undeletion, a field that is hidden for a while."""
    table = backup.open()
    rows = [record(n, 1, Name=f"n{n}", City="x") for n in range(8)]
    backup.add(table, backup.stage(rows, BOTH, mode="baseline"))
    backup.add(table, backup.stage([record(1, 2, Name="b"), record(2, 2, deleted=True)], NAME, run=2))
    backup.add(table, backup.stage([record(1, 3, Name="c", City="y"), record(9, 3, Name="new")], BOTH, run=3))
    backup.add(table, backup.stage([record(2, 4, Name="back", City="z")], BOTH, run=4))
    pages = [backup.stage([record(n, 5, Name="d")], NAME, run=5, seq=n) for n in (3, 4)]
    backup.add(table, *pages)
    table.save_index()


def answers(backup: Backup) -> list[Any]:
    """Everything that a reader of the vault can ask."""
    where = (backup.root, JOB, OBJECT)
    asked: list[Any] = [state_at(*where, run).to_pylist() for run in range(1, RUNS)]
    asked += [record_history(*where, record_id(n)) for n in range(10)]
    asked += [(changes_of(*where, run), operations(*where, run), count(*where, run)) for run in range(1, RUNS)]
    asked += [[c.changes.rows() for c in changes_between(*where, 0, 99)]]
    delta = DeltaTable(backup.root.table_uri(JOB, OBJECT))
    columns = sorted(field.name for field in delta.schema().fields)
    asked.append(pl.scan_delta(delta).select(columns).sort("_event_id").collect().rows())
    query = f"SELECT {', '.join(columns)} FROM read_parquet(?, union_by_name=true) ORDER BY _event_id"
    with duckdb.connect() as opened:
        asked.append(opened.sql(query, params=[delta.file_uris()]).to_arrow_table().to_pylist())
    return asked


def check(backup: Backup) -> Report:
    table = backup.open()
    return verify_table(backup.root, JOB, OBJECT, key=KEY.public_key(), expected=table.head)


def test_no_answer_changes(backup: Backup) -> None:
    days(backup)
    before, rows = answers(backup), check(backup).rows
    table = backup.open()
    entries = table.index
    assert table.compact(EAGER, NOW_MS) and not table.compact(EAGER, NOW_MS)
    assert len(table.index.layout.stored()) == 1
    assert answers(backup) == before
    assert same_entries(table.index, entries)
    assert same_entries(backup.open().index, entries), "the stored index, with the compaction replayed"
    assert same_entries(rebuilt(TableLog(backup.root, JOB, OBJECT), table.version), entries)
    assert (check(backup).damage, check(backup).unreferenced, check(backup).rows) == ([], [], rows)
    assert table.delete_replaced(NOW_MS) == NOW_MS, "the grace is not over"
    assert len(DeltaTable(backup.root.table_uri(JOB, OBJECT), version=2).to_pyarrow_table()) > 0
    assert len(list(backup.root.list(f"{table.path}/1"))) == 2
    assert table.delete_replaced(NOW_MS + 1) is None
    assert len(list(backup.root.list(f"{table.path}/1"))) == 1
    assert answers(backup) == before, "the feed, too, finds the events of files that are gone"
    assert (check(backup).damage, check(backup).unreferenced, check(backup).rows) == ([], [], rows)
    assert same_entries(rebuilt(TableLog(backup.root, JOB, OBJECT), table.version), entries)


def test_pages_after_a_compaction_are_compared_with_what_was_merged(backup: Backup) -> None:
    days(backup)
    compact_and_clear(backup.root)
    table = backup.open()
    rows = [record(1, 6, Name="c", City="y"), record(3, 6, Name="e", City="x"), record(5, 1, Name="n5", City="x")]
    committed = backup.add(table, backup.stage(rows, BOTH, run=6))
    assert committed.counts.to_json() == {"touched": 1, "updated": 1, "repeated": 1}
    assert record_history(backup.root, JOB, OBJECT, record_id(3))[-1].changed == ("Name",), "City was hidden in run 5"
    compact_and_clear(backup.root)
    assert check(backup).damage == []
    assert len(backup.open().index.layout.stored()) == 1


def test_checkpoints_name_the_merged_file(backup: Backup) -> None:
    days(backup)
    compact_and_clear(backup.root)
    table = backup.open()
    for number in range(12):
        backup.add(table, backup.stage([record(1, 10 + number, Name=f"{number}")], NAME, run=7 + number))
    log = backup.root.path(TableLog(backup.root, JOB, OBJECT).folder)
    assert log is not None and list(log.glob("*.checkpoint.parquet"))
    assert check(backup).damage == []
    assert backup.state()[record_id(1)]["Name"] == "11"


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_killed_while_at_it(backup: Backup, step: str, side: str) -> None:
    assert step in registered_steps()
    days(backup)
    before = answers(backup)
    env = {**os.environ, "HOLDFAST_FAILPOINT": f"{step}:{side}"}
    command = [sys.executable, str(CHILD), str(backup.root.folder), "compact"]
    killed = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert answers(backup) == before
    assert check(backup).damage == []
    compact_and_clear(backup.root)
    assert answers(backup) == before
    report = check(backup)
    scratch = [path for path in report.unreferenced if "/." in path]
    assert (report.damage, report.unreferenced, report.files) == ([], scratch, 1)
    assert backup.open().version == len(commits(backup)) - 1
    assert [commit["kind"] for commit in commits(backup)].count("compact") == 1


def commits(backup: Backup) -> list[dict[str, Any]]:
    log = TableLog(backup.root, JOB, OBJECT)
    links = [log.read(version).link for version in log.versions()]
    return [dict(link.body) for link in links if link]


def test_a_lost_answer_is_looked_up(backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    days(backup)
    table = backup.open()
    commit = table_module.compact_delta

    def made_and_lost(*args: Any) -> None:
        commit(*args)
        raise OSError("connection reset")

    monkeypatch.setattr(table_module, "compact_delta", made_and_lost)
    assert table.compact(EAGER, NOW_MS)
    assert table.version == backup.open().version and len(table.index.layout.stored()) == 1


def test_who_comes_late_compacts_nothing(backup: Backup) -> None:
    days(backup)
    late, other = backup.open(), backup.open()
    backup.add(other, backup.stage([record(7, 9, Name="z")], NAME, run=6))
    with pytest.raises(HoldfastError) as caught:
        late.compact(EAGER, NOW_MS)
    assert caught.value.kind is Kind.UNAVAILABLE
    assert backup.state()[record_id(7)]["Name"] == "z"
    assert late.compact(EAGER, NOW_MS) and check(backup).damage == []


def test_a_damaged_file_is_not_merged(backup: Backup) -> None:
    days(backup)
    table = backup.open()
    path = backup.root.path(f"{table.path}/{table.index.files[2].path}")
    assert path is not None
    path.write_bytes(path.read_bytes()[:-9] + b"123456789")
    with pytest.raises(HoldfastError) as caught:
        table.compact(EAGER, NOW_MS)
    assert caught.value.kind is Kind.DAMAGED and len(backup.open().index.layout.stored()) == 6


def test_rows_that_a_merge_changes_are_not_committed(backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    days(backup)
    table = backup.open()
    monkeypatch.setattr(compaction_module, "_widened", lambda rows, schema: rows.slice(1).cast(schema))
    with pytest.raises((HoldfastError, ValueError)):
        table.compact(EAGER, NOW_MS)
    assert len(backup.open().index.layout.stored()) == 6


@pytest.mark.parametrize("lie", ["hash", "pages", "rows"])
def test_verify_finds_a_merge_that_is_not_one(backup: Backup, monkeypatch: pytest.MonkeyPatch, lie: str) -> None:
    """Signed by us and all: as a mistake of ours, or a holder of the key, could make it."""
    days(backup)
    merge = Merger.merge

    def lying(self: Merger, batch: list[StoredFile], layout: Layout, at_ms: int) -> Replacement:
        true = merge(self, batch, layout, at_ms)
        if lie == "hash":
            return replace(true, before="0" * 16, after="0" * 16)
        if lie == "pages":
            return replace(true, files=(replace(true.files[0], parts=true.files[0].parts[:-1]),))
        return _with_another_value(backup, true)

    monkeypatch.setattr(Merger, "merge", lying)
    backup.open().compact(EAGER, NOW_MS)
    log = TableLog(backup.root, JOB, OBJECT)
    report = verify_table(backup.root, JOB, OBJECT, key=KEY.public_key(), expected=log.read(6).chain_head())
    assert report.damage
    assert any("rows" in damage.reason or "pages" in damage.reason for damage in report.damage)


def _with_another_value(backup: Backup, true: Replacement) -> Replacement:
    table = f"{JOB}/records/{OBJECT}"
    path = backup.root.path(f"{table}/{true.files[0].path}")
    assert path is not None
    rows = pl.read_parquet(path).with_columns(pl.lit("forged").alias("Name")).to_arrow()
    pq.write_table(rows, path.with_name("forged.parquet"), write_page_checksum=True, store_schema=False)
    sha256 = compaction_module.hash_of(path.with_name("forged.parquet"))
    forged = path.with_name(f"merged-{sha256}.parquet")
    path.with_name("forged.parquet").rename(forged)
    name = f"{true.files[0].path.split('/')[0]}/{forged.name}"
    return replace(true, files=(replace(true.files[0], path=name, sha256=sha256, bytes=forged.stat().st_size),))


def test_files_are_merged_with_their_like() -> None:
    def layout(*sizes: int) -> Layout:
        return Layout(
            tuple(EventFile(f"{n}", "", 1, size, f"{n}", n, 0, "", "full") for n, size in enumerate(sizes)), ()
        )

    policy = Policy(fewest=3, large_bytes=1000, steps=(10, 100, 1000))
    assert policy.batch(layout(5, 5, 50, 50, 2000, 2000, 2000)) == []
    assert [file.bytes for file in policy.batch(layout(5, 500, 6, 50, 7))] == [5, 6, 7]
    assert [file.bytes for file in policy.batch(layout(600, 700, 800, 5))] == [600, 700]
    bodies = replace(layout(5, 5, 5), pages=tuple(replace(p, mode="bodies") for p in layout(5, 5, 5).pages))
    assert [file.bytes for file in policy.batch(bodies)] == [5, 5, 5]
    mixed = replace(bodies, pages=(replace(bodies.pages[0], mode="full"), *bodies.pages[1:]))
    assert policy.batch(mixed) == [], "what bodies a table names is looked for in files of bodies alone"


def test_numbers_of_pages_are_told_as_ranges() -> None:
    file = StoredFile("1/a", "ff", 9, 10, (0, 1, 2, 7, 8, 5))
    assert file.to_json()["parts"] == [[0, 2], [7, 8], [5, 5]]
    assert StoredFile.from_json(json.loads(json.dumps(file.to_json()))) == file


STEPS_OF_A_TABLE = st.lists(
    st.one_of(
        st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9), st.booleans()), min_size=1, max_size=5),
        st.sampled_from(["compact", "clear", "reopen"]),
    ),
    min_size=2,
    max_size=9,
)


@given(STEPS_OF_A_TABLE)
@settings(max_examples=20)
def test_a_table_that_is_compacted_at_any_time_is_the_same_table(steps: list[Any]) -> None:
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        told = [_tell(Path(folder), steps, compacting=folder == one) for folder in (one, other)]
    assert told[0] == told[1]


def _tell(folder: Path, steps: list[Any], *, compacting: bool) -> tuple[Any, ...]:
    backup = Backup.in_folder(folder / "vault", folder)
    table = backup.open()
    for run, step in enumerate(steps, start=1):
        if step == "reopen":
            table.save_index()
            table = backup.open()
        elif isinstance(step, list):
            schema = BOTH if run % 2 else NAME
            rows = [record(n, at, deleted=gone, Name=f"{n}-{at}", City=f"{at % 3}") for n, at, gone in step]
            backup.add(table, backup.stage(rows, schema, run=run, mode="full"))
        elif compacting:
            table.compact(EAGER, NOW_MS)
            table.delete_replaced(NOW_MS + (step == "clear"))
    fresh = rebuilt(TableLog(backup.root, JOB, OBJECT), table.version)
    assert same_entries(table.index, fresh) and check(backup).damage == []
    histories = [record_history(backup.root, JOB, OBJECT, record_id(n)) for n in range(6)]
    fed = [commit.changes.rows() for commit in changes_between(backup.root, JOB, OBJECT, 0, 99)]
    return [backup.state(run) for run in range(len(steps) + 1)], histories, fed, table.index.alive
