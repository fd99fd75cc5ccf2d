"""Lists of chunks: frames of text columns, each sorted by id, in id order and without overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

CHUNK_ROWS = 32_768  # folding a change into a chunk of 30 columns takes about 3 ms


def split(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Sorted rows as chunks, each with memory of its own."""
    return [rows.slice(start, CHUNK_ROWS).rechunk() for start in range(0, rows.height, CHUNK_ROWS)]


def pick(chunks: Sequence[pl.DataFrame], firsts: Sequence[str], ids: pl.Series) -> list[pl.DataFrame]:
    """The rows with these ids, which are sorted and occur once, in id order."""
    found = []
    for number, some in _by_chunk(firsts, ids):
        if number < 0:
            continue
        held = chunks[number]["Id"]
        at = held.search_sorted(some)
        at = at.filter(at < len(held)).unique(maintain_order=True)
        here = at.filter(held.gather(at).is_in(some.implode()))
        if len(here):
            found.append(chunks[number][here])
    return found


def where(chunks: Sequence[pl.DataFrame], mask: pl.Series) -> list[pl.DataFrame]:
    """The rows for which `mask`, over all chunks, holds. Chunks without one are not looked at."""
    found, start = [], 0
    for chunk in chunks:
        mine = mask.slice(start, chunk.height)
        start += chunk.height
        if mine.any():
            found.append(chunk.filter(mine))
    return found


def fold(
    chunks: Sequence[pl.DataFrame], firsts: Sequence[str], fresh: pl.DataFrame, removed: pl.Series
) -> list[pl.DataFrame]:
    """The chunks with `fresh` rows (sorted) put in and `removed` ids taken out; untouched chunks are the same."""
    if not chunks:
        return split(fresh)
    changed: dict[int, tuple[pl.Series, int, int]] = {}
    position = 0
    for number, ids in _by_chunk(firsts, fresh["Id"]):
        gone, start, _ = changed.get(max(number, 0), (ids.clear(), position, 0))
        position += len(ids)
        changed[max(number, 0)] = (pl.concat([gone, ids]), start, position)
    for number, ids in _by_chunk(firsts, removed.sort()):
        gone, start, end = changed.get(max(number, 0), (ids.clear(), 0, 0))
        changed[max(number, 0)] = (pl.concat([gone, ids]), start, end)
    made: list[pl.DataFrame] = []
    for number, chunk in enumerate(chunks):
        if number in changed:
            gone, start, end = changed[number]
            made += _renewed(chunk, gone, fresh.slice(start, end - start))
        else:
            made.append(chunk)
    return made


def _renewed(chunk: pl.DataFrame, gone: pl.Series, fresh: pl.DataFrame) -> list[pl.DataFrame]:
    kept = chunk.filter(~pl.col("Id").is_in(gone.implode()))
    if not fresh.height:
        rows = kept
    elif not kept.height or kept["Id"][-1] < fresh["Id"][0]:
        rows = pl.concat([kept, fresh], rechunk=True)
    else:
        rows = pl.concat([kept, fresh], rechunk=False).sort("Id")
    if rows.height > 2 * CHUNK_ROWS:
        return split(rows)
    return [rows] if rows.height else []


def _by_chunk(firsts: Sequence[str], ids: pl.Series) -> Iterator[tuple[int, pl.Series]]:
    """Sorted ids with the number of the chunk whose range they fall into; -1 for those below the first."""
    if not len(ids):
        return
    if not firsts:
        yield -1, ids
        return
    numbers = pl.Series(firsts, dtype=pl.String).search_sorted(ids, side="right").cast(pl.Int64) - 1
    start = 0
    for number, length in numbers.rle().struct.unnest().select("value", "len").iter_rows():
        yield number, ids.slice(start, length)
        start += length
