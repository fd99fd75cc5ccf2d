"""Staged pages that say nothing new, found several at a time: most of what a full reading brings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise, takewhile

import polars as pl

from holdfast.common.errors import HoldfastError
from holdfast.vault.files import INDEX_COLUMNS, event_rows
from holdfast.vault.index import NO_STAMP, StateIndex
from holdfast.vault.prepare import Workshop
from holdfast.vault.refs import Counts, StagedRef

# Reading, hashing and decoding let other threads run.
_PAGES_AT_ONCE = 2


def unchanged(workshop: Workshop, staged: Sequence[StagedRef], index: StateIndex) -> list[Counts]:
    """The counts of the leading pages of which every row says exactly what the state says.

    Such a page does not move the state, so that each may be held against the same one. The first page that says
    something else, says something twice or cannot be read ends the list: it is for `prepare_all`, which tells why.
    """
    pages = list(_loaded(workshop, staged, index))
    if not pages:
        return []
    keys, _ = index.keys_of(pl.concat([page["id"] for page in pages]))
    rows = pl.concat(pages).with_columns(keys, pl.col("stamp").fill_null(NO_STAMP)).drop("id")
    same = _repeats(rows, index)
    ends = [0, *pl.Series([len(page) for page in pages]).cum_sum()]
    cuts = takewhile(lambda cut: _says_nothing_new(same, keys, *cut), pairwise(ends))
    return [Counts(repeated=end - start) for start, end in cuts]


def _loaded(workshop: Workshop, staged: Sequence[StagedRef], index: StateIndex) -> Iterator[pl.DataFrame]:
    """The rows of the leading pages that can be held against the state as they are."""
    comparable: dict[str, bool] = {}

    def fits(ref: StagedRef) -> bool:
        if ref.schema.schema_id not in comparable:
            comparable[ref.schema.schema_id] = all(workshop.comparable(ref.schema, index.files))
        return ref.mode in ("full", "incremental") and comparable[ref.schema.schema_id]

    def load(ref: StagedRef) -> pl.DataFrame | None:
        try:
            data = workshop.as_announced(ref)
        except HoldfastError:
            return None
        return event_rows(pl.read_parquet(data, columns=list(INDEX_COLUMNS), use_statistics=False))

    with ThreadPoolExecutor(_PAGES_AT_ONCE, thread_name_prefix="skim") as pool:
        for page in pool.map(load, takewhile(fits, staged)):
            if page is None:
                return
            yield page


def _repeats(rows: pl.DataFrame, index: StateIndex) -> pl.Series:
    """Which rows repeat the state, in their order."""
    if rows["key"].is_sorted():  # pages in order of ids
        return index.repeats(rows)
    order = rows["key"].arg_sort()
    return index.repeats(rows[order])[order.arg_sort()]


def _says_nothing_new(same: pl.Series, keys: pl.Series, start: int, end: int) -> bool:
    return bool(same[start:end].all()) and keys[start:end].is_unique().all()
