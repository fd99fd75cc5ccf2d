"""However the pages of an org's runs reach the table, the state and the set of events by id are the same.

The writer is the differ's: it passes over what is not new, asks for a number, compares, commits; and it dies between
any two of these, is repeated, meets another writer, hears nothing of what it committed, and compacts in between.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from vault_pages import EAGER, JOB, KEY, NOW_MS, OBJECT, Backup, Record, record, record_id, schema_of

from holdfast.common.errors import HoldfastError, Kind
from holdfast.vault import chunks
from holdfast.vault.index_store import rebuilt, same_entries
from holdfast.vault.log import TableLog
from holdfast.vault.refs import StagedRef
from holdfast.vault.table import RecordTable
from holdfast.vault.verify import verify_table

SCHEMA, GONE = schema_of("Name", MasterRecordId="reference"), schema_of()
RECORDS = 5
ACTIONS = ["nothing", "nothing", "change", "touch", "delete", "listed", "merge", "undelete"]
MISHAPS = ["none", "none", "dies before it compares", "dies before it commits", "dies after it", "again", "another",
           "compacts", "compacts and clears"]  # fmt: skip


@dataclass
class Org:
    """Records, and what the pages of its runs say of them."""

    lives: dict[int, bool] = field(default_factory=dict)
    rows: dict[int, Record] = field(default_factory=dict)

    def run(self, number: int, actions: list[str]) -> tuple[list[Record], list[Record]]:
        """The observations of a run, and the deletions that are only listed."""
        seen, listed = [], []
        for n, action in enumerate(actions):
            if n not in self.rows:
                self.rows[n], self.lives[n] = record(n, number, Name=f"{number}"), True
            elif action == "nothing" or (action == "undelete") is self.lives[n]:
                continue
            elif action == "listed":
                self.lives[n] = False
                listed.append(record(n, number, deleted=True))
                continue
            else:
                self._move(n, number, action)
            seen.append(self.rows[n])
        return seen, listed

    def _move(self, n: int, number: int, action: str) -> None:
        self.lives[n] = action not in ("delete", "merge")
        name = f"{number}" if action == "change" else self.rows[n]["Name"]
        master = record_id((n + 1) % RECORDS) if action == "merge" else None
        self.rows[n] = record(n, number, deleted=not self.lives[n], Name=name, MasterRecordId=master)


@st.composite
def runs(draw: st.DrawFn) -> list[tuple[list[list[Record]], list[Record]]]:
    """Per run: pages of observations, some records in two of them; and a page of deletions, or none."""
    org, told = Org(), []
    for number in range(1, draw(st.integers(2, 5))):
        actions = draw(st.lists(st.sampled_from(ACTIONS), min_size=RECORDS, max_size=RECORDS))
        seen, listed = org.run(number, actions)
        cut = draw(st.integers(0, len(seen)))
        overlap = draw(st.integers(0, 1))
        pages = [page for page in (seen[: cut + overlap], seen[cut:]) if page]
        told.append((pages, listed))
    return told


@dataclass
class Writer:
    """The differ's way with a page, and the ways in which it goes wrong."""

    backup: Backup
    table: RecordTable

    def add(self, ref: StagedRef, mishap: str) -> None:
        if mishap.startswith("compacts"):
            self.table.compact(EAGER, NOW_MS)
            self.table.delete_replaced(NOW_MS + mishap.endswith("clears"))
        if mishap == "dies before it compares":
            self.table = self.backup.open()
        number = self.table.head.commit_seq + 1
        if mishap == "dies before it commits":
            self.table.apply([ref])
            self.table = self.backup.open()
        if mishap == "another":
            other = self.backup.open()
            other.commit(other.apply([ref]), number)
        self._commit(ref, number)
        if mishap == "dies after it":
            self.table.save_index()
            self.table = self.backup.open()
            assert self.table.committed(number, [ref.page_id]) or self.table.head.commit_seq < number
        if mishap in ("again", "dies after it"):
            assert self.table.apply([ref]).empty

    def _commit(self, ref: StagedRef, number: int) -> None:
        if self.table.unchanged([ref]):
            return
        try:
            self.table.commit(self.table.apply([ref]), number)
        except HoldfastError as error:
            assert error.kind in (Kind.UNAVAILABLE, Kind.FENCED)
            self.table = self.backup.open()
            if not self.table.committed(number, [ref.page_id]):
                self.table.commit(self.table.apply([ref]), number)


def tell(folder: Path, told: list[Any], choose: Any) -> tuple[Any, ...]:
    backup = Backup.in_folder(folder / "vault", folder)
    writer = Writer(backup, backup.open())
    for run, (pages, listed) in enumerate(told, start=1):
        mode = "baseline" if run == 1 else "incremental"
        refs = [backup.stage(page, SCHEMA, run=run, seq=seq, mode=mode) for seq, page in enumerate(pages)]
        for at, mishap in choose(len(refs)):
            writer.add(refs[at], mishap)
        if listed:
            ref = backup.stage(listed, GONE, run=run, seq=len(refs), mode="deletions")
            for _, mishap in choose(1):
                writer.add(ref, mishap)
    table = backup.open()
    report = verify_table(backup.root, JOB, OBJECT, key=KEY.public_key(), expected=table.head)
    assert report.damage == []
    assert same_entries(table.index, rebuilt(TableLog(backup.root, JOB, OBJECT), table.version))
    files = DeltaTable(backup.root.table_uri(JOB, OBJECT)).file_uris()
    query = "SELECT _event_id FROM read_parquet($files, union_by_name=true) ORDER BY 1"
    with duckdb.connect() as opened:
        events = opened.sql(query, params={"files": files}).fetchall() if files else []
    return [backup.state(run) for run in range(1, len(told) + 1)], events, table.index.alive


@given(runs(), st.data())
@settings(max_examples=10, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_the_state_and_the_events_are_the_same(told: list[Any], data: st.DataObject) -> None:
    def straight(pages: int) -> list[tuple[int, str]]:
        return [(at, "none") for at in range(pages)]

    def anyhow(pages: int) -> list[tuple[int, str]]:
        order = data.draw(st.permutations(range(pages))) if pages else []
        again = data.draw(st.lists(st.sampled_from(range(pages)), max_size=2)) if pages else []
        return [(at, data.draw(st.sampled_from(MISHAPS))) for at in (*order, *again)]

    with TemporaryDirectory() as one, TemporaryDirectory() as other, pytest.MonkeyPatch.context() as small:
        # The index of a handful of records is on the disk, in chunks, too.
        small.setattr(chunks, "CHUNK_ROWS", 2)
        small.setattr(chunks, "RECENT_ROWS", data.draw(st.integers(0, 3)))
        expected = tell(Path(one), told, straight)
        assert len(expected[1]) == len(set(expected[1]))
        assert tell(Path(other), told, anyhow) == expected
