"""Sorted rows on the disk are what a dictionary in memory would be, and memory does not grow with them."""

from __future__ import annotations

import gc
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.vault import chunks
from holdfast.vault.chunks import RECENT_ROWS, Schema, SortedRows

SCHEMA: Schema = {"key": pl.UInt64, "stamp": pl.Int64, "file": pl.UInt32, "deleted": pl.Boolean}
Row = tuple[int, int, int, bool]
Rows = st.lists(st.tuples(st.integers(0, 30), st.integers(-2, 2), st.integers(0, 9), st.booleans()), max_size=12)


def frame(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


@settings(max_examples=150)
@given(st.lists(Rows, max_size=8), st.integers(1, 5), st.integers(0, 6), st.booleans(), st.integers(0, 30))
def test_of_each_key_the_right_row_stays(
    pages: list[list[Row]], chunk: int, recent: int, stamps: bool, at: int
) -> None:
    with pytest.MonkeyPatch.context() as small:
        small.setattr(chunks, "CHUNK_ROWS", chunk)
        small.setattr(chunks, "RECENT_ROWS", recent)
        rows, expected = SortedRows(SCHEMA, ("stamp",) if stamps else ("key",)), dict[int, Row]()
        for page in pages:
            before, known = rows, dict(expected)
            for row in page:
                if not stamps or row[0] not in expected or row[1] >= expected[row[0]][1]:
                    expected[row[0]] = row
            rows = rows.with_rows(frame(page))
            assert pl.concat(before.pieces()).rows() == [known[key] for key in sorted(known)], "a value stays"
        assert pl.concat(rows.pieces()).rows() == [expected[key] for key in sorted(expected)]
        assert rows.between(at, at + 9).rows() == [expected[key] for key in sorted(expected) if at <= key <= at + 9]


def descriptors() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def test_what_is_on_the_disk_takes_no_memory_and_goes_with_the_rows() -> None:
    before = descriptors()
    rows = SortedRows(SCHEMA)
    for start in range(0, 8 * RECENT_ROWS, RECENT_ROWS // 2):
        keys = pl.int_range(start, start + RECENT_ROWS // 2, dtype=pl.UInt64, eager=True)
        page = pl.DataFrame({"key": keys}).with_columns(
            pl.lit(0, pl.Int64).alias("stamp"), pl.lit(0, pl.UInt32).alias("file"), pl.lit(True).alias("deleted")
        )
        rows = rows.with_rows(page)
    assert rows.size == 8 * RECENT_ROWS
    assert len(rows.recent) <= RECENT_ROWS
    assert max(chunk.rows for chunk in rows.chunks) <= chunks.CHUNK_ROWS
    assert descriptors() > before
    del rows
    assert descriptors() == before
