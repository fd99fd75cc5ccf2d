"""Pages that say nothing new, passed over several at a time: only those that are empty one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vault_pages import Backup, Record, changed, record, schema_of

from holdfast.common.errors import HoldfastError
from holdfast.vault import skim
from holdfast.vault.refs import StagedRef
from holdfast.vault.table import RecordTable

SCHEMA, NARROW, WIDE = schema_of("Name"), schema_of(), schema_of("Name", "Phone")
KNOWN = 4


def said(number: int, what: str) -> Record:
    """An observation of a record that the baseline has as `record(number, 1, Name="a")`."""
    stamp, name, deleted = {
        "the same": (1, "a", False),
        "changed": (2, "b", False),
        "restamped": (2, "a", False),
        "unstamped change": (1, "b", False),
        "older": (0, "a", False),
        "deleted": (1, "a", True),
    }[what]
    return record(number, stamp, deleted=deleted, Name=name)


WHAT = ["the same"] * 12 + ["changed", "restamped", "unstamped change", "older", "deleted"]
PAGE = st.lists(st.tuples(st.integers(0, KNOWN), st.sampled_from(WHAT)), min_size=0, max_size=4)
MODES = ["full", "full", "incremental", "baseline", "census"]
SCHEMAS = [SCHEMA, SCHEMA, SCHEMA, NARROW, WIDE]
PAGES = st.lists(st.tuples(PAGE, st.sampled_from(MODES), st.sampled_from(SCHEMAS)), min_size=1, max_size=6)


@settings(max_examples=150)
@given(PAGES)
def test_what_is_passed_over_is_what_brings_nothing(
    pages: list[tuple[list[tuple[int, str]], str, object]],
) -> None:
    with TemporaryDirectory() as folder:
        backup = Backup.in_folder(Path(folder) / "vault", Path(folder))
        table = backup.open()
        backup.add(table, backup.stage([said(n, "the same") for n in range(KNOWN)], SCHEMA, mode="baseline"))
        refs = [
            backup.stage([said(n, what) for n, what in rows], schema, run=2, seq=seq, mode=mode)  # type: ignore[arg-type]
            for seq, (rows, mode, schema) in enumerate(pages)
        ]
        passed = skim.unchanged(table._workshop, refs, table.index)
        for counts, ref in zip(passed, refs, strict=False):
            prepared = table.apply([ref])
            assert prepared.empty
            assert prepared.counts == counts
        if len(passed) < len(refs):
            stopped = refs[len(passed)]
            alone = table.apply([stopped])
            twice = alone.counts.stale > 0
            held = stopped.mode in ("full", "incremental") and stopped.schema == SCHEMA
            assert not alone.empty or twice or not held, "a page that repeats the state is passed over"


def many(backup: Backup, table: RecordTable, pages: int, changed_page: int = -1) -> list[StagedRef]:
    """Pages of two records each: a baseline, and a full reading of which one page brings a change."""
    for run, mode in ((1, "baseline"), (2, "full")):
        refs = []
        for seq in range(pages):
            name = "b" if run == 2 and seq == changed_page else "a"
            rows = [record(2 * seq + n, run if name == "b" else 1, Name=name) for n in (1, 0)]  # not in order of ids
            refs.append(backup.stage(rows, SCHEMA, run=run, seq=seq, mode=mode))  # type: ignore[arg-type]
        if run == 1:
            for ref in refs:
                backup.add(table, ref)
    return refs


def walk(table: RecordTable, backup: Backup, refs: list[StagedRef]) -> list[int]:
    """Work through pages as the differ does; how many were settled in each turn."""
    turns = []
    while refs:
        passed = len(table.unchanged(refs))
        if not passed:
            backup.add(table, refs[0])
        turns.append(passed or 1)
        refs = refs[turns[-1] :]
    return turns


def test_twice_as_many_pages_are_looked_at_each_time_nothing_is_new(backup: Backup) -> None:
    table = backup.open()
    assert walk(table, backup, many(backup, table, 40)) == [1, 2, 4, 8, 16, 9]


def test_no_more_rows_are_looked_at_than_memory_is_meant_for(backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.vault.table._SKIM_ROWS", 7)  # three pages of two
    table = backup.open()
    assert walk(table, backup, many(backup, table, 14)) == [1, 2, 3, 3, 3, 2]
    monkeypatch.setattr("holdfast.vault.table._SKIM_ROWS", 1)
    table = backup.open()
    backup.add(table, backup.stage([record(0, 1, Name="a"), record(1, 1, Name="a")], SCHEMA, run=3, mode="full"))
    refs = [backup.stage([record(n, 1, Name="a") for n in (0, 1)], SCHEMA, run=4, seq=n, mode="full") for n in (1, 2)]
    assert len(table.unchanged(refs)) == 1, "a page that is larger goes alone"


def test_a_page_with_news_ends_the_look_and_is_added(backup: Backup) -> None:
    table = backup.open()
    refs = many(backup, table, 12, changed_page=5)
    assert walk(table, backup, refs) == [1, 2, 2, 1, 1, 2, 3]
    assert [row["Name"] for row in backup.state().values()].count("b") == 2
    assert table.head.commit_seq == 13


def test_pages_that_all_bring_news_are_read_once(backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    table = backup.open()
    refs = many(backup, table, 3)
    monkeypatch.setattr("holdfast.vault.table.unchanged", lambda *_: pytest.fail("nothing promised a repeat"))
    for seq, _ in enumerate(refs):
        ref = backup.stage([record(2 * seq, 5, Name="c")], SCHEMA, run=3, seq=seq)
        assert table.unchanged([ref]) == []
        backup.add(table, ref)


def test_a_field_that_the_newest_page_did_not_read_is_compared(backup: Backup) -> None:
    """A page that did not read the field has the fingerprint of one that found it empty."""
    table = backup.open()
    backup.add(table, backup.stage([record(1, 1, Name="a", Phone="1")], WIDE, mode="baseline"))
    backup.add(table, backup.stage([record(1, 2, Name="a")], SCHEMA, run=2))
    emptied = backup.stage([record(1, 2, Name="a", Phone=None)], WIDE, run=3, mode="full")
    assert skim.unchanged(table._workshop, [emptied], table.index) == []
    assert changed(backup.add(table, emptied).counts) == {"updated": 1}


@pytest.mark.parametrize("fault", ["other bytes", "gone"])
def test_a_page_that_cannot_be_read_is_left_to_who_tells_why(backup: Backup, fault: str) -> None:
    table = backup.open()
    refs = many(backup, table, 4)
    path = backup.root.path(refs[2].path)
    assert path is not None
    path.write_bytes(b"x") if fault == "other bytes" else path.unlink()
    assert len(skim.unchanged(table._workshop, refs, table.index)) == 2
    with pytest.raises(HoldfastError):
        table.apply([refs[2]])


def test_counts_say_how_many_rows_were_repeated(backup: Backup) -> None:
    table = backup.open()
    refs = many(backup, table, 3)
    found = skim.unchanged(table._workshop, refs, table.index)
    assert [changed(counts) for counts in found] == [{"repeated": 2}] * 3
    other = replace(refs[0], sha256="0" * 64)
    assert skim.unchanged(table._workshop, [other, *refs], table.index) == []
