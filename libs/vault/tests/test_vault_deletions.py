"""Pages of deletions end lives that the state knows, and no others; a census changes nothing."""

from __future__ import annotations

import pytest
from vault_pages import Backup, Record, changed, record, record_id, schema_of

from holdfast.vault.index_store import rebuilt, same_entries
from holdfast.vault.log import TableLog
from holdfast.vault.reading import record_history
from holdfast.vault.schema import FieldType, RecordSchema

NAME = schema_of("Name")
GONE = schema_of()
ABSENT = RecordSchema(NAME.object, (FieldType("Id", "id"),))


@pytest.mark.parametrize(
    ("before", "deleted_at", "became"),
    [
        (record(1, 5, Name="a"), 9, {"deleted": 1}),
        (record(1, 5, Name="a"), 5, {"deleted": 1}),
        (record(1, 5, Name="a"), 4, {"deleted": 1}),  # Salesforce cuts the time of a deletion to seconds
        (record(1, 5, Name="a"), 3, {"repeated": 1}),  # changed after the deletion: it lives again
        (record(1, 5, deleted=True), 9, {"repeated": 1}),
        (None, 9, {"repeated": 1}),
    ],
)
def test_only_a_known_life_ends(backup: Backup, before: Record | None, deleted_at: int, became: dict[str, int]) -> None:
    table = backup.open()
    others = [record(2, 1, Name="b")]
    backup.add(table, backup.stage([*others, *([before] if before else [])], NAME, mode="baseline"))
    page = backup.stage([record(1, deleted_at, deleted=True)], GONE, run=2, mode="deletions")
    counts = backup.add(table, page).counts
    assert changed(counts) == {name.replace("repeated", "stale"): n for name, n in became.items()}
    assert table.index.alive == 1 + (before is not None and before["IsDeleted"] == "false" and "deleted" not in became)
    assert same_entries(rebuilt(TableLog(backup.root, table.job_id, table.object), table.version), table.index)


def test_an_event_is_never_older_than_the_life_that_it_ends(backup: Backup) -> None:
    table = backup.open()
    backup.add(table, backup.stage([record(1, 5, Name="a")], NAME, mode="baseline"))
    backup.add(table, backup.stage([record(1, 4, deleted=True)], GONE, run=2, mode="deletions"))
    first, last = record_history(backup.root, table.job_id, table.object, record_id(1))
    assert last.operation == "deleted"
    assert last.modified_at == first.modified_at


def test_a_deletion_without_a_time_has_that_of_the_state_so_that_the_record_may_come_back(backup: Backup) -> None:
    table = backup.open()
    living = [record(1, 5, Name="a"), record(2, 5, Name="b")]
    backup.add(table, backup.stage(living, NAME, mode="baseline"))
    page = backup.stage([{"Id": record_id(1)}], ABSENT, run=2, mode="deletions")
    assert changed(backup.add(table, page).counts) == {"deleted": 1}
    assert backup.state() == {record_id(2): living[1]}
    again = backup.add(table, backup.stage([living[0]], NAME, run=3))
    assert changed(again.counts) == {"undeleted": 1}
    assert backup.state()[record_id(1)] == living[0]
    assert backup.state(run=2) == {record_id(2): living[1]}


def test_the_same_page_again_says_nothing(backup: Backup) -> None:
    table = backup.open()
    backup.add(table, backup.stage([record(1, 5, Name="a")], NAME, mode="baseline"))
    page = backup.stage([record(1, 9, deleted=True)], GONE, run=2, mode="deletions")
    backup.add(table, page)
    assert table.apply([page]).empty


def test_a_census_makes_no_events(backup: Backup) -> None:
    table = backup.open()
    backup.add(table, backup.stage([record(1, 5, Name="a")], NAME, mode="baseline"))
    page = backup.stage([record(1, 9), record(2, 9)], GONE, run=2, mode="census")
    assert table.apply([page]).empty
