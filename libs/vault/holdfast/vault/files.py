"""Event files, opened with their page checksums checked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from holdfast.common.errors import HoldfastError, Kind
from holdfast.vault.columns import DELETED
from holdfast.vault.location import VaultRoot


def open_events(root: VaultRoot, key: str) -> pq.ParquetFile:
    """Open an event file.

    Raises:
        HoldfastError: NOT_FOUND; DAMAGED if it is no Parquet.
    """
    path = root.path(key)
    try:
        if path is not None:
            return pq.ParquetFile(path, page_checksum_verification=True)
        return pq.ParquetFile(pa.BufferReader(root.read(key)), page_checksum_verification=True)
    except FileNotFoundError as error:
        raise HoldfastError(Kind.NOT_FOUND, f"The vault has no file {key}.") from error
    except (pa.ArrowException, OSError) as error:
        raise damaged(key, error) from error


def read_events(root: VaultRoot, key: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Columns of an event file (all by default); those that it lacks are left out.

    Raises:
        HoldfastError: NOT_FOUND, DAMAGED.
    """
    with open_events(root, key) as file:
        names = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
        try:
            return file.read(columns=names)
        except (pa.ArrowException, OSError) as error:
            raise damaged(key, error) from error


def read_rows(root: VaultRoot, key: str, rows: Sequence[int], columns: Sequence[str]) -> pl.DataFrame:
    """Some rows of an event file, in the order asked for; only the row groups that hold them are read.

    Columns that the file lacks are null.
    """
    with open_events(root, key) as file:
        present = [name for name in columns if name in file.schema_arrow.names]
        groups, places = _locate(file, rows)
        try:
            table = file.read_row_groups(groups, columns=present)
        except (pa.ArrowException, OSError) as error:
            raise damaged(key, error) from error
    taken = pl.DataFrame(pl.from_arrow(table.take(pa.array(places)))) if present else pl.DataFrame()
    absent = [name for name in columns if name not in present]
    nulls = [pl.repeat(None, len(rows), dtype=pl.String, eager=True).alias(name) for name in absent]
    return taken.with_columns(nulls) if present else pl.DataFrame(nulls)


def _locate(file: pq.ParquetFile, rows: Sequence[int]) -> tuple[list[int], list[int]]:
    """The row groups that hold rows, and the rows' places in these groups put together."""
    sizes = [file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups)]
    frame = pl.DataFrame({"row": pl.Series(rows, dtype=pl.Int64)})
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    bounds = pl.Series(starts, dtype=pl.Int64)
    group = bounds.search_sorted(frame["row"], side="right") - 1
    wanted = sorted(set(group.to_list()))
    shifts, total = {}, 0
    for number in wanted:
        shifts[number] = starts[number] - total
        total += sizes[number]
    shift = group.cast(pl.Int64).replace_strict(list(shifts), list(shifts.values()), return_dtype=pl.Int64)
    return wanted, (frame["row"] - shift).to_list()


def index_rows(root: VaultRoot, key: str) -> pl.DataFrame:
    """What the state index needs of a file: `id`, `print`, `stamp` (null kept), `row`, `deleted`."""
    table = read_events(root, key, ["_record_id", "_fingerprint", "_modified_at", "_op"])
    return event_rows(pl.DataFrame(pl.from_arrow(table)))


def event_rows(events: pl.DataFrame) -> pl.DataFrame:
    """Event columns in the form of `index_rows`."""
    return events.select(
        pl.col("_record_id").alias("id"),
        pl.col("_fingerprint").alias("print"),
        pl.col("_modified_at").dt.epoch("ms").alias("stamp"),
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"),
        (pl.col("_op") == DELETED).alias("deleted"),
    )


def sha256_of(root: VaultRoot, key: str) -> str:
    """SHA-256 of a stored file's bytes, in hex.

    Raises:
        HoldfastError: NOT_FOUND.
    """
    path = root.path(key)
    if path is None:
        return hashlib.sha256(root.read(key)).hexdigest()
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise HoldfastError(Kind.NOT_FOUND, f"The vault has no file {key}.") from error


def damaged(key: str, error: Exception) -> HoldfastError:
    """The error for a file whose bytes are not what they were."""
    return HoldfastError(Kind.DAMAGED, f"The vault's file {key} is damaged.", detail=str(error))
