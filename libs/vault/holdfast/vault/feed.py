"""What a table gained between two commits, for those who follow changes.

Baselines are not followed row by row, and bodies of files are no changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from holdfast.common.errors import HoldfastError, Kind
from holdfast.vault.files import read_events, read_rows
from holdfast.vault.location import VaultRoot, table_key
from holdfast.vault.log import LogCommit, TableLog
from holdfast.vault.page import AS_IT_IS
from holdfast.vault.refs import EventFile

_COLUMNS = ["_event_id", "_record_id", "_op", "_run", "_modified_at", "_changed"]


@dataclass(frozen=True)
class CommitChanges:
    """The changes of one commit.

    Attributes:
        version: Delta version at which they can be read.
        changes: `_event_id`, `_record_id`, `_op`, `_run`, `_modified_at`, `_changed`, in order of events.
    """

    commit_seq: int
    version: int
    changes: pl.DataFrame


def changes_between(
    root: VaultRoot, job_id: str, object_name: str, after_seq: int, until_seq: int
) -> Iterator[CommitChanges]:
    """The commits with `after_seq` < number ≤ `until_seq`, oldest first; a baseline's has no rows.

    Raises:
        HoldfastError: DAMAGED, NOT_FOUND if the log or a file cannot be read.
    """
    log = TableLog(root, job_id, object_name)
    for commit in _commits(log, after_seq, until_seq):
        yield CommitChanges(commit.chain_head().commit_seq, commit.version, _changes(log, commit))


def _commits(log: TableLog, after_seq: int, until_seq: int) -> list[LogCommit]:
    """Newest first until the cursor is met: a feed that keeps up reads little of a long log."""
    found: list[LogCommit] = []
    for version in reversed(log.versions()):
        commit = log.read(version)
        number = commit.chain_head().commit_seq
        if number <= after_seq:
            break
        if commit.kind == "append" and number <= until_seq:
            found.append(commit)
    return found[::-1]


def _changes(log: TableLog, commit: LogCommit) -> pl.DataFrame:
    frames = [_events(log, commit.version, file) for file in commit.files if file.mode not in AS_IT_IS]
    return pl.concat(frames) if frames else pl.DataFrame(schema=dict.fromkeys(_COLUMNS, pl.String))


def _events(log: TableLog, version: int, file: EventFile) -> pl.DataFrame:
    """A page's events: from its own file, or from the one that it was merged into since."""
    folder = table_key(log.job_id, log.object)
    try:
        return pl.DataFrame(pl.from_arrow(read_events(log.root, f"{folder}/{file.path}", _COLUMNS)))
    except HoldfastError as error:
        newest = log.versions()[-1]
        if error.kind != Kind.NOT_FOUND or newest == version:
            raise
    layout = log.layout(newest)
    place = layout.place(layout.pages.index(file))
    rows = pl.int_range(place.start, place.start + file.rows, dtype=pl.UInt32, eager=True)
    return read_rows(log.root, f"{folder}/{place.path}", rows, _COLUMNS)
