"""The past, as Holdfast reads it and as engines read it that did not write it."""

from __future__ import annotations

import duckdb
import polars as pl
import pytest
from deltalake import DeltaTable
from vault_pages import JOB, OBJECT, Backup, record, record_id, schema_of

from holdfast.common.errors import HoldfastError, Kind
from holdfast.vault.reading import changes_of, count, operations, record_history, state_at

NAME = schema_of("Name")
BOTH = schema_of("Name", "City")


@pytest.fixture
def told(backup: Backup) -> Backup:
    """Three runs: a baseline; an update, a deletion and a creation; an undeletion."""
    table = backup.open()
    backup.add(table, backup.stage([record(n, 1, Name=f"n{n}") for n in range(4)], NAME, run=1, mode="baseline"))
    second = [record(0, 2, Name="new", City="x"), record(1, 2, deleted=True, Name="n1"), record(9, 2, Name="n9")]
    backup.add(table, backup.stage(second, BOTH, run=2))
    backup.add(table, backup.stage([record(1, 3, Name="n1")], NAME, run=3))
    return backup


def test_the_state_at_each_run(told: Backup) -> None:
    at = {
        run: {row["_record_id"]: row for row in state_at(told.root, JOB, OBJECT, run).to_pylist()} for run in range(4)
    }
    assert [len(at[run]) for run in range(4)] == [0, 4, 4, 5]
    assert [count(told.root, JOB, OBJECT, run) for run in range(4)] == [0, 4, 4, 5]
    assert record_id(1) not in at[2]
    assert (at[1][record_id(0)]["Name"], at[3][record_id(0)]["Name"]) == ("n0", "new")
    assert at[3][record_id(0)]["City"] == "x"
    assert list(at[3]) == sorted(at[3])


def test_the_state_of_some_records(told: Backup) -> None:
    rows = state_at(told.root, JOB, OBJECT, 3, [record_id(0)[:15], record_id(2)])
    assert rows.column("Id").to_pylist() == [record_id(0), record_id(2)]
    assert state_at(told.root, JOB, OBJECT, 3, []).num_rows == 0


@pytest.mark.parametrize("short", [True, False])
def test_a_record_has_a_history_with_before_and_after(told: Backup, short: bool) -> None:
    wanted = record_id(0)[:15] if short else record_id(0)
    first, second = record_history(told.root, JOB, OBJECT, wanted)
    assert (first.operation, first.before, first.after["Name"]) == ("captured", None, "n0")
    assert (second.operation, second.run, second.changed) == ("updated", 2, ("City", "Name"))
    assert second.before is not None
    assert (second.before["Name"], second.after["Name"], second.after["City"]) == ("n0", "new", "x")
    assert second.after["Id"] == record_id(0)
    assert [v.operation for v in record_history(told.root, JOB, OBJECT, record_id(1))] == [
        "captured",
        "deleted",
        "undeleted",
    ]
    assert record_history(told.root, JOB, OBJECT, record_id(777)) == []


def test_changes_are_paged_in_a_stable_order(told: Backup) -> None:
    seen, cursor, pages = [], None, 0
    while True:
        page = changes_of(told.root, JOB, OBJECT, 2, limit=2, cursor=cursor)
        seen += [(v.record_id, v.operation) for v in page.versions]
        pages, cursor = pages + 1, page.cursor
        if cursor is None:
            break
    expected = [(record_id(0), "updated"), (record_id(1), "deleted"), (record_id(9), "created")]
    assert (seen, pages) == (expected, 2)
    only = changes_of(told.root, JOB, OBJECT, 2, ["deleted"])
    assert [(v.record_id, v.before and v.before["Name"]) for v in only.versions] == [(record_id(1), "n1")]
    assert only.cursor is None
    assert operations(told.root, JOB, OBJECT, 2) == {
        "captured": 0,
        "created": 1,
        "updated": 1,
        "touched": 0,
        "deleted": 1,
        "undeleted": 0,
    }


def test_bad_questions_are_named(told: Backup) -> None:
    for call in (
        lambda: record_history(told.root, JOB, OBJECT, "'; DROP TABLE events; --"),
        lambda: changes_of(told.root, JOB, OBJECT, 1, ["exploded"]),
        lambda: changes_of(told.root, JOB, OBJECT, 1, limit=0),
        lambda: changes_of(told.root, JOB, OBJECT, 1, cursor="%%%"),
    ):
        with pytest.raises(HoldfastError) as caught:
            call()
        assert caught.value.kind is Kind.INVALID
    with pytest.raises(HoldfastError) as caught:
        count(told.root, JOB, "Unknown", 1)
    assert caught.value.kind is Kind.NOT_FOUND


def test_a_table_without_events_is_empty(backup: Backup) -> None:
    backup.open()
    assert state_at(backup.root, JOB, OBJECT, 5).num_rows == 0
    assert record_history(backup.root, JOB, OBJECT, record_id(1)) == []


def test_odd_field_names_are_only_names(backup: Backup) -> None:
    odd = schema_of('He said "hi"', "select", "Ünïcode__c")
    table = backup.open()
    backup.add(table, backup.stage([record(1, 1, **{'He said "hi"': "a", "select": "b"})], odd))
    backup.add(table, backup.stage([record(1, 2)], schema_of(), run=2))
    state = backup.state()[record_id(1)]
    assert (state['He said "hi"'], state["select"]) == ("a", "b")


def test_a_missing_file_is_named_not_skipped(told: Backup) -> None:
    folder = told.root.path(f"{JOB}/records/{OBJECT}/2")
    assert folder is not None
    next(folder.iterdir()).unlink()
    with pytest.raises(HoldfastError) as caught:
        count(told.root, JOB, OBJECT, 3)
    assert caught.value.kind is Kind.DAMAGED


def test_polars_reads_the_table(told: Backup) -> None:
    frame = pl.scan_delta(told.root.table_uri(JOB, OBJECT)).collect()
    assert len(frame) == 8
    newest = frame.sort("_modified_at", "_run", "_seq").group_by("_record_id").last().filter(pl.col("_op") != "deleted")
    assert set(newest["_record_id"]) == set(told.state())
    assert frame.filter(pl.col("City") == "x").height == 1


def test_duckdb_reads_the_files_of_the_log(told: Backup) -> None:
    files = DeltaTable(told.root.table_uri(JOB, OBJECT)).file_uris()
    rows = duckdb.connect().sql(
        "SELECT _record_id, Name FROM read_parquet($files, union_by_name=true) "
        "QUALIFY row_number() OVER (PARTITION BY _record_id ORDER BY _modified_at DESC, _run DESC, _seq DESC) = 1 "
        "AND _op <> 'deleted'",
        params={"files": [file.removeprefix("file://") for file in files]},
    )
    assert dict(rows.fetchall()) == {key: row["Name"] for key, row in told.state().items()}
