"""A hash of a table's rows that does not depend on their order: `docs/formats/vault.md` §8."""

from __future__ import annotations

import polars as pl
import polars_hash as plh
import pyarrow as pa

from holdfast.vault.fingerprint import field_seed


class Multiset:
    """Adds up the hashes of rows: equal for equal rows in any order, however they are put in.

    A row's hash: for each value that is not null XXH3-64 of its text, seeded with XXH3-64 of the column's name;
    their sum modulo 2^64 as decimal text, hashed once more with seed 0. The sum of these modulo 2^64 is the hash.
    """

    def __init__(self) -> None:
        self._sum = 0
        self.rows = 0

    def add(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Add some rows."""
        frame = pl.DataFrame(pl.from_arrow(rows))
        texts = pl.DataFrame([_text(column) for column in frame.get_columns()])
        hashes = [
            plh.col(name).nchash.xxh3_64(seed=field_seed(name)).fill_null(0)
            for name in texts.columns
            if texts[name].null_count() < len(texts)
        ]
        zero = pl.repeat(0, len(frame), dtype=pl.UInt64)
        total = texts.select(pl.sum_horizontal([zero, *hashes]).alias("total")).to_series()
        mixed = total.cast(pl.String).to_frame("text").select(plh.col("text").nchash.xxh3_64(seed=0)).to_series()
        self._sum = (self._sum + int(mixed.sum())) % (1 << 64)
        self.rows += len(frame)

    @property
    def hash(self) -> str:
        """16 hex digits."""
        return f"{self._sum:016x}"


def _text(column: pl.Series) -> pl.Series:
    """Whole numbers in decimal, times in microseconds since 1970, lists joined by commas, text as it is."""
    if column.dtype == pl.String:
        return column
    if isinstance(column.dtype, pl.List):
        return column.list.join(",")
    if isinstance(column.dtype, pl.Datetime):
        return column.dt.epoch("us").cast(pl.String)
    return column.cast(pl.String)
