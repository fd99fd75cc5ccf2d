"""What a table gained after a commit: every change once, in order, no baseline, nothing before the cursor."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from vault_pages import JOB, OBJECT, START, Backup, record, record_id, schema_of

from holdfast.common.errors import HoldfastError, Kind
from holdfast.vault.feed import CommitChanges, changes_between

SCHEMA = schema_of("Name")
WIDER = schema_of("Name", "Email")


def gained(backup: Backup, after: int, until: int) -> list[CommitChanges]:
    return list(changes_between(backup.root, JOB, OBJECT, after, until))


def operations(commit: CommitChanges) -> list[tuple[str, str]]:
    return list(zip(commit.changes["_record_id"], commit.changes["_op"], strict=True))


@pytest.fixture
def three_commits(backup: Backup) -> Backup:
    """A baseline of two records, one change, then one more with a field that widens the table."""
    table = backup.open()
    backup.add(table, backup.stage([record(n, 0, Name="a") for n in (1, 2)], SCHEMA, mode="baseline"))
    backup.add(table, backup.stage([record(1, 5, Name="b"), record(3, 6, Name="c")], SCHEMA, run=2))
    backup.add(table, backup.stage([record(2, 7, Name="a", Email="x@y.z")], WIDER, run=3))
    return backup


def test_a_baseline_is_passed_without_rows(three_commits: Backup) -> None:
    first, second, third = gained(three_commits, 0, 3)
    assert [first.commit_seq, second.commit_seq, third.commit_seq] == [1, 2, 3]
    assert first.changes.is_empty()
    assert first.changes.columns == second.changes.columns


def test_a_commit_says_what_changed_and_when(three_commits: Backup) -> None:
    (commit,) = gained(three_commits, 1, 2)
    assert operations(commit) == [(record_id(1), "updated"), (record_id(3), "created")]
    row = commit.changes.row(0, named=True)
    assert (row["_run"], row["_changed"]) == (2, ["Name"])
    assert row["_modified_at"] == START + timedelta(seconds=5)
    assert commit.changes["_event_id"].is_unique().all()


def test_the_cursor_splits_the_log_without_gap_or_repeat(three_commits: Backup) -> None:
    whole = pl.concat([commit.changes for commit in gained(three_commits, 1, 3)])
    parts = [commit.changes for after in (1, 2) for commit in gained(three_commits, after, after + 1)]
    assert pl.concat(parts)["_event_id"].to_list() == whole["_event_id"].to_list()
    assert gained(three_commits, 3, 3) == []


def test_the_version_is_the_one_to_read_at(three_commits: Backup) -> None:
    *_, third = gained(three_commits, 0, 3)
    assert third.version == three_commits.open().version


def test_a_lost_file_is_said(three_commits: Backup) -> None:
    folder = three_commits.root.path(f"{JOB}/records/{OBJECT}")
    assert folder is not None
    for file in folder.rglob("*.parquet"):
        file.unlink()
    with pytest.raises(HoldfastError) as caught:
        gained(three_commits, 1, 2)
    assert caught.value.kind in (Kind.DAMAGED, Kind.NOT_FOUND)
