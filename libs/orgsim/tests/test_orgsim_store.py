"""Rows of one object: an immutable base, an overlay, and frames that keep their moment."""

import polars as pl
import pytest

from holdfast.orgsim.api.bulk2.pages import PageCache
from holdfast.orgsim.store.table import Table


@pytest.fixture
def table() -> Table:
    made = Table(["Id", "Name"])
    made.load(pl.DataFrame({"Id": ["a3", "a1"], "Name": ["three", "one"]}))
    return made


def test_a_change_replaces_its_row_once_and_frames_stay_in_id_order(table: Table) -> None:
    table.put("a1", {"Id": "a1", "Name": "uno"})
    table.put("a2", {"Id": "a2", "Name": None})
    assert table.frame().rows() == [("a1", "uno"), ("a2", None), ("a3", "three")]
    table.put("a1", {"Id": "a1", "Name": "ein"})
    assert table.frame().rows() == [("a1", "ein"), ("a2", None), ("a3", "three")]
    assert len(table) == 3


def test_a_removed_row_is_gone_before_and_after_folding(table: Table) -> None:
    table.remove("a1")
    assert table.get("a1") is None
    assert table.frame()["Id"].to_list() == ["a3"]
    assert table.get("a1") is None


def test_a_frame_handed_out_does_not_move(table: Table) -> None:
    before = table.frame()
    table.put("a1", {"Id": "a1", "Name": "changed"})
    table.load(pl.DataFrame({"Id": ["a0"], "Name": ["zero"]}))
    assert before.rows() == [("a1", "one"), ("a3", "three")]
    assert table.frame().rows() == [("a0", "zero"), ("a1", "changed"), ("a3", "three")]


def test_get_answers_with_a_row_of_its_own(table: Table) -> None:
    row = table.get("a1")
    assert row is not None
    row["Name"] = "spoilt"
    assert table.get("a1") == {"Id": "a1", "Name": "one"}
    assert table.get("a2") is None


def test_the_version_moves_with_changes_and_not_with_reading(table: Table) -> None:
    first = table.version
    table.put("a1", {"Id": "a1", "Name": "uno"})
    changed = table.version
    table.frame()
    assert first < changed == table.version


def test_a_new_column_is_empty_in_older_rows(table: Table) -> None:
    table.put("a2", {"Id": "a2", "Name": "two"})
    table.add_columns(["Fax", "Name"])
    assert table.frame().rows() == [("a1", "one", None), ("a2", "two", None), ("a3", "three", None)]


def test_the_page_cache_drops_what_was_not_asked_for_longest() -> None:
    cache = PageCache(limit_bytes=10)
    for start in (0, 1):
        cache.put(("f", start, 1), b"x" * 5)
    assert cache.get(("f", 0, 1)) == b"x" * 5
    cache.put(("f", 2, 1), b"x" * 5)
    assert [cache.get(("f", start, 1)) is not None for start in (0, 1, 2)] == [True, False, True]
