"""What observations become, and what the state is, whatever the order of pages."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vault_pages import Backup, Record, changed, record, record_id, schema_of

from holdfast.common.errors import HoldfastError, Kind
from holdfast.vault.index_store import rebuilt, same_entries
from holdfast.vault.log import TableLog
from holdfast.vault.reading import record_history

NAME = schema_of("Name")
BOTH = schema_of("Name", "City")


def test_a_baseline_of_new_records_is_added_as_the_file_that_was_staged(backup: Backup) -> None:
    table = backup.open()
    ref = backup.stage([record(1, 1, Name="a"), record(2, 1, deleted=True)], NAME, mode="baseline")
    prepared = table.apply([ref])
    assert [f"{table.path}/{file.path}" for file in prepared.files] == [ref.path]
    committed = table.commit(prepared, 1, table.head)
    assert changed(committed.counts) == {"captured": 1, "deleted": 1}
    assert backup.state() == {record_id(1): record(1, 1, Name="a")}
    assert table.index.alive == 1


@pytest.mark.parametrize(
    ("before", "now", "became"),
    [
        (None, record(1, 1, Name="a"), {"created": 1}),
        (None, record(1, 1, deleted=True), {"deleted": 1}),
        (record(1, 1, Name="a"), record(1, 2, Name="b"), {"updated": 1}),
        (record(1, 1, Name="a"), record(1, 2), {"updated": 1}),
        (record(1, 1, Name="a"), record(1, 2, Name="a"), {"touched": 1}),
        (record(1, 1, Name="a"), record(1, 2, Name="a", deleted=True), {"deleted": 1}),
        (record(1, 1, deleted=True), record(1, 2, Name="a"), {"undeleted": 1}),
        (record(1, 1, deleted=True), record(1, 2, deleted=True), {"touched": 1}),
        (record(1, 1, Name="a"), record(1, 1, Name="a"), {"repeated": 1}),
        (record(1, 2, Name="a"), record(1, 1, Name="b"), {"stale": 1}),
        (record(1, 1, Name="a"), record(1, 1, Name="b"), {"updated": 1}),
    ],
)
def test_an_observation_against_the_state(
    backup: Backup, before: Record | None, now: Record, became: dict[str, int]
) -> None:
    table = backup.open()
    if before:
        backup.add(table, backup.stage([before], NAME, run=1, mode="baseline"))
    committed = backup.add(table, backup.stage([now], NAME, run=2))
    assert changed(committed.counts) == became
    newest = before if became.keys() & {"stale", "repeated"} else now
    assert newest is not None
    expected = {} if newest["IsDeleted"] == "true" else {newest["Id"]: newest}
    assert backup.state() == expected
    assert table.index.alive == len(expected)


def test_changed_fields_are_named(backup: Backup) -> None:
    table = backup.open()
    backup.add(table, backup.stage([record(1, 1, Name="a", City="x"), record(2, 1, Name="a")], BOTH, run=1))
    backup.add(table, backup.stage([record(1, 2, Name="b"), record(2, 2, Name="c")], BOTH, run=2))
    assert record_history(backup.root, *names(backup), record_id(1))[-1].changed == ("City", "Name")
    assert record_history(backup.root, *names(backup), record_id(2))[-1].changed == ("Name",)


def names(backup: Backup) -> tuple[str, str]:
    table = backup.open()
    return table.job_id, table.object


def test_a_merge_names_the_record_that_is_left(backup: Backup) -> None:
    schema = schema_of("Name", MasterRecordId="reference")
    table = backup.open()
    backup.add(table, backup.stage([record(1, 1, Name="a"), record(2, 1, Name="b")], schema, mode="baseline"))
    loser = record(2, 2, deleted=True, Name="b", MasterRecordId=record_id(1))
    backup.add(table, backup.stage([loser], schema, run=2))
    last = record_history(backup.root, *names(backup), record_id(2))[-1]
    assert (last.operation, last.merged_into) == ("deleted", record_id(1))


def test_of_a_record_twice_in_a_page_the_later_counts(backup: Backup) -> None:
    table = backup.open()
    rows = [record(1, 3, Name="new"), record(2, 1, Name="b"), record(1, 1, Name="old")]
    committed = backup.add(table, backup.stage(rows, NAME, mode="baseline"))
    assert changed(committed.counts) == {"captured": 2, "stale": 1}
    assert backup.state()[record_id(1)]["Name"] == "new"


def test_a_page_without_news_makes_no_commit_and_is_counted(backup: Backup) -> None:
    table = backup.open()
    ref = backup.stage([record(1, 1, Name="a")], NAME, mode="baseline")
    first = backup.add(table, ref)
    again = backup.add(table, backup.stage([record(1, 1, Name="a")], NAME, run=2))
    assert (again.version, again.chain_head, again.events) == (first.version, first.chain_head, 0)
    assert changed(again.counts) == {"repeated": 1}


def test_several_pages_in_one_commit_see_each_other(backup: Backup) -> None:
    table = backup.open()
    pages = [backup.stage([record(1, n + 1, Name=str(n))], NAME, seq=n) for n in range(3)]
    committed = backup.add(table, *pages)
    assert [changed(page.counts) for page in committed.pages] == [{"created": 1}, {"updated": 1}, {"updated": 1}]
    assert backup.state()[record_id(1)]["Name"] == "2"


def test_not_read_is_not_null(backup: Backup) -> None:
    """A field that a run did not read keeps its value, and a later run is compared with that value."""
    table = backup.open()
    backup.add(table, backup.stage([record(1, 1, Name="a", City="x")], BOTH, run=1))
    hidden = backup.add(table, backup.stage([record(1, 2, Name="b")], NAME, run=2))
    assert changed(hidden.counts) == {"updated": 1}
    assert backup.state() == {record_id(1): record(1, 2, Name="b", City="x")}
    same = backup.add(table, backup.stage([record(1, 3, Name="b", City="x")], BOTH, run=3))
    assert changed(same.counts) == {"touched": 1}
    backup.add(table, backup.stage([record(1, 4, Name="b")], NAME, run=4))
    emptied = backup.add(table, backup.stage([record(1, 4, Name="b")], BOTH, run=5))
    assert changed(emptied.counts) == {"updated": 1}, "an equal fingerprint over fewer fields is no repeat"
    assert record_history(backup.root, *names(backup), record_id(1))[-1].changed == ("City",)
    assert backup.state(4)[record_id(1)]["City"] == "x"
    assert "City" not in backup.state(5)[record_id(1)]


def test_a_scan_that_reads_fewer_fields_finds_no_changes(backup: Backup) -> None:
    table = backup.open()
    backup.add(table, backup.stage([record(1, 1, Name="a", City="x")], BOTH, run=1))
    assert changed(backup.add(table, backup.stage([record(1, 1, Name="a")], NAME, run=2)).counts) == {"repeated": 1}


def test_a_field_that_appears_later_widens_the_table(backup: Backup) -> None:
    table = backup.open()
    backup.add(table, backup.stage([record(1, 1, Name="a")], NAME, run=1))
    backup.add(table, backup.stage([record(1, 2, Name="a", City="x")], BOTH, run=2))
    assert "City" not in backup.state(1)[record_id(1)]
    assert backup.state(2)[record_id(1)]["City"] == "x"


def test_nine_hundred_fields(backup: Backup) -> None:
    wide = schema_of(*(f"Field{n:03d}__c" for n in range(900)))
    values = {f"Field{n:03d}__c": f"v{n}" for n in range(900)}
    table = backup.open()
    backup.add(table, backup.stage([record(n, 1, **values) for n in range(20)], wide, mode="baseline"))
    backup.add(table, backup.stage([record(3, 2, **values | {"Field899__c": "new"})], wide, run=2))
    last = record_history(backup.root, *names(backup), record_id(3))[-1]
    assert last.changed == ("Field899__c",)
    assert last.after["Field000__c"] == "v0"
    log = backup.root.read(TableLog(backup.root, *names(backup)).key(table.version))
    assert len(log) < 3_000, "no statistics of columns in the log"


def test_two_fields_that_differ_in_case_only_are_refused(backup: Backup) -> None:
    table = backup.open()
    backup.add(table, backup.stage([record(1, 1, Name="a")], NAME))
    with pytest.raises(HoldfastError) as caught:
        backup.add(table, backup.stage([record(1, 2, NAME="a")], schema_of("NAME"), run=2))
    assert caught.value.code == "field-name-taken"


@pytest.mark.parametrize("fault", ["bytes", "rows", "gone"])
def test_a_staged_file_that_is_not_what_was_announced_is_refused(backup: Backup, fault: str) -> None:
    table = backup.open()
    ref = backup.stage([record(1, 1, Name="a")], NAME)
    path = backup.root.path(ref.path)
    assert path is not None
    if fault == "bytes":
        path.write_bytes(path.read_bytes()[:-1])
    elif fault == "gone":
        path.unlink()
    else:
        ref = type(ref)(**{**ref.__dict__, "rows": 2})
    with pytest.raises(HoldfastError) as caught:
        table.apply([ref])
    assert caught.value.kind is (Kind.NOT_FOUND if fault == "gone" else Kind.DAMAGED)


WORDS = st.one_of(
    st.sampled_from(["NA", "null", "00123", "1e3", 'say "hi"', "a\nb\r\nc", "🌍", "\x00", "true", "NaN", "\\N", "'"]),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=8),
)


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6))
@settings(max_examples=25)
def test_every_text_comes_back_byte_for_byte(values: list[tuple[str, str]]) -> None:
    with TemporaryDirectory() as folder:
        backup = Backup.in_folder(Path(folder) / "vault", Path(folder))
        rows = [record(n, 1, Name=name, City=city) for n, (name, city) in enumerate(values)]
        table = backup.open()
        backup.add(table, backup.stage(rows, BOTH, mode="baseline"))
        later = [record(n, 2, Name=city, City=name) for n, (name, city) in enumerate(values)]
        backup.add(table, backup.stage(later, BOTH, run=2))
        assert backup.state(1) == {row["Id"]: row for row in rows}
        assert backup.state(2) == {row["Id"]: row for row in later}


@st.composite
def pages(draw: st.DrawFn) -> list[list[tuple[int, int]]]:
    """Pages of (record, stamp); what a record is at a stamp is always the same, as in an org."""
    observation = st.tuples(st.integers(0, 5), st.integers(1, 6))
    return draw(st.lists(st.lists(observation, min_size=1, max_size=6), min_size=1, max_size=5))


def as_in_the_org(number: int, stamp: int) -> Record:
    deleted = (number + stamp) % 5 == 0
    return record(number, stamp, deleted=deleted, Name=f"{number}-{stamp // 2}", City="x" if stamp % 3 else None)


@given(pages(), st.data())
@settings(max_examples=30)
def test_the_state_is_the_same_for_every_order_and_any_repeats(
    observed: list[list[tuple[int, int]]], data: st.DataObject
) -> None:
    newest: dict[int, int] = {}
    for number, stamp in (pair for page in observed for pair in page):
        newest[number] = max(stamp, newest.get(number, 0))
    truth = {record_id(n): as_in_the_org(n, stamp) for n, stamp in newest.items()}
    alive = {
        key: {name: value for name, value in row.items() if value is not None}
        for key, row in truth.items()
        if row["IsDeleted"] == "false"
    }
    order = data.draw(st.permutations([*range(len(observed))])) + data.draw(
        st.lists(st.integers(0, len(observed) - 1), max_size=3)
    )
    with TemporaryDirectory() as folder:
        backup = Backup.in_folder(Path(folder) / "vault", Path(folder))
        table = backup.open()
        refs = [
            backup.stage([as_in_the_org(*pair) for pair in page], BOTH, seq=n, mode="baseline" if n % 2 else "full")
            for n, page in enumerate(observed)
        ]
        for number in order:
            backup.add(table, refs[number])
        assert backup.state() == alive
        assert table.index.alive == len(alive)
        fresh = rebuilt(TableLog(backup.root, table.job_id, table.object), table.version)
        assert same_entries(table.index, fresh)
