"""Stable hashes over columns: `docs/formats/vault.md` §4. Changing one of them is a new format version."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import polars as pl
import polars_hash as plh
import pyarrow as pa


@lru_cache(maxsize=16384)
def field_seed(name: str) -> int:
    """XXH3-64 of a field name."""
    column = pl.DataFrame({"name": [name]}).select(plh.col("name").nchash.xxh3_64(seed=0))
    return int(column.item())


def fingerprints(table: pa.Table, names: Iterable[str]) -> pl.Series:
    """Sum modulo 2^64 of the seeded hashes of the non-null values, one per row.

    Column by column, so that no more than one column's hashes are in memory.
    """
    total = pl.zeros(table.num_rows, dtype=pl.UInt64, eager=True)
    for name in names:
        column = table.column(name)
        if column.null_count == len(column):
            continue
        values = pl.DataFrame({"value": pl.from_arrow(column)})
        hashed = values.select(plh.col("value").nchash.xxh3_64(seed=field_seed(name)).fill_null(0))
        total = total + hashed.to_series()
    return total.reinterpret(signed=True)


def prints_of(values: pl.DataFrame, names: Iterable[str]) -> pl.Series:
    """The same as `fingerprints`, for few rows of many columns."""
    hashes = [plh.col(name).nchash.xxh3_64(seed=field_seed(name)).fill_null(0) for name in names]
    if not hashes:
        return pl.zeros(len(values), dtype=pl.Int64, eager=True)
    return values.select(pl.sum_horizontal(hashes).alias("print")).to_series().reinterpret(signed=True)


def event_ids(
    table_name: str,
    *,
    record_ids: pl.Series,
    run: int,
    ops: pl.Series,
    stamps_ms: pl.Series,
    prints: pl.Series,
) -> pa.Array:
    """128-bit event ids as hex, one per row; the same event always has the same id."""
    frame = pl.DataFrame({"record": record_ids, "op": ops, "stamp": stamps_ms, "print": prints})
    text = pl.concat_str(
        pl.lit(table_name + "|"),
        "record",
        pl.lit(f"|{run}|"),
        "op",
        pl.lit("|"),
        pl.col("stamp").cast(pl.String).fill_null(""),
        pl.lit("|"),
        pl.col("print").cast(pl.String),
    )
    hashed = frame.select(text.alias("text")).select(
        plh.col("text").nchash.xxh3_128(seed=0, return_binary=True, byte_order="big").bin.encode("hex").alias("id")
    )
    return as_string(hashed.to_series())


def as_string(series: pl.Series) -> pa.Array:
    """A polars text column as an Arrow `string` array."""
    return series.to_arrow().cast(pa.string())
