"""Chunks in Arrow files that are mapped into memory: read by the page, never rewritten, nothing is decoded.

Arrow rather than Parquet, although it takes many times the space: a row is read by touching a page per column, where
Parquet decodes a whole row group, and a query of one column reads that column only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl
import pyarrow as pa
import pyarrow.ipc

from holdfast.orgsim.store.mapped import map_file


class ChunkFile:
    """An Arrow file that chunks are appended to. Columns are text and the same in each chunk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pa.RecordBatchFileWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.close()

    def append(self, chunk: pl.DataFrame) -> None:
        """Write one chunk."""
        table = chunk.rechunk().to_arrow(compat_level=pl.CompatLevel.newest())
        if self._writer is None:
            self._writer = pa.ipc.new_file(str(self._path), table.schema)
        for batch in table.to_batches():
            self._writer.write_batch(batch)


def mapped_chunks(path: Path, constants: Mapping[str, str]) -> Iterator[pl.DataFrame]:
    """The chunks of a file, without reading them, with further columns that hold one value throughout."""
    reader = pa.ipc.open_file(pa.py_buffer(map_file(path)))
    fixed = [pl.lit(value, dtype=pl.String).alias(name) for name, value in constants.items()]
    for number in range(reader.num_record_batches):
        frame = pl.from_arrow(reader.get_batch(number), rechunk=False)
        assert isinstance(frame, pl.DataFrame)
        yield frame.with_columns(fixed)
