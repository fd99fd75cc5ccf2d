"""Event files, opened with their page checksums checked."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from holdfast.common.errors import HoldfastError, Kind
from holdfast.vault.columns import DELETED
from holdfast.vault.location import VaultRoot

_ROW = "_row"
INDEX_COLUMNS = ("_record_id", "_fingerprint", "_modified_at", "_op")


def open_events(root: VaultRoot, key: str) -> pq.ParquetFile:
    """Open an event file.

    Raises:
        HoldfastError: NOT_FOUND; DAMAGED if it is no Parquet; UNAVAILABLE if it cannot be opened now.
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
        HoldfastError: NOT_FOUND, DAMAGED, UNAVAILABLE.
    """
    with open_events(root, key) as file:
        names = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
        try:
            return file.read(columns=names)
        except (pa.ArrowException, OSError) as error:
            raise damaged(key, error) from error


def read_rows(root: VaultRoot, key: str, rows: pl.Series, columns: Sequence[str]) -> pl.DataFrame:
    """Some rows of an event file, in the order asked for. Columns that the file lacks are null.

    Page checksums are not checked here: hold the values against their fingerprint.

    Raises:
        HoldfastError: NOT_FOUND, DAMAGED, UNAVAILABLE.
    """
    path = root.path(key)
    try:
        taken = rows_of(path or root.read(key), rows, columns)
    except FileNotFoundError as error:
        raise HoldfastError(Kind.NOT_FOUND, f"The vault has no file {key}.") from error
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise damaged(key, _told_by_the_system(path) or error) from error
    absent = [name for name in columns if name not in taken.columns]
    nulls = [pl.repeat(None, len(rows), dtype=pl.String, eager=True).alias(name) for name in absent]
    return taken.with_columns(nulls) if taken.columns else pl.DataFrame(nulls)


def rows_of(source: Path | bytes, rows: pl.Series, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Some rows of a Parquet file, in the order asked for; columns that the file lacks are left out.

    Only the values of these rows are decoded: four times as fast as reading their row groups, for 1 % of the rows.
    """
    scan = pl.scan_parquet(source, row_index_name=_ROW, parallel="prefiltered", low_memory=True)
    present = scan.collect_schema().names()[1:]
    names = present if columns is None else [name for name in columns if name in present]
    wanted = rows.cast(pl.UInt32).unique().sort()
    found = scan.filter(pl.col(_ROW).is_in(wanted.implode())).select(_ROW, *names).collect()
    if len(found) != len(wanted):
        raise OSError("the file has fewer rows than are in use")
    return found[wanted.search_sorted(rows)].drop(_ROW)


def index_rows(root: VaultRoot, key: str) -> pl.DataFrame:
    """What the state index needs of a file: `id`, `print`, `stamp` (null kept), `row`, `deleted`."""
    table = read_events(root, key, INDEX_COLUMNS)
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


def _told_by_the_system(path: Path | None) -> OSError | None:
    """Why a file cannot be opened; None if it can. Polars says only that it could not read it."""
    try:
        if path is not None:
            path.open("rb").close()
    except OSError as error:
        return error
    return None


def damaged(key: str, error: Exception) -> HoldfastError:
    """The error for a file whose bytes are not what they were; UNAVAILABLE if the system did not hand them out."""
    if isinstance(error, OSError) and error.errno not in (None, errno.EIO):
        return HoldfastError(Kind.UNAVAILABLE, f"The vault's file {key} cannot be read now.", detail=str(error))
    return HoldfastError(Kind.DAMAGED, f"The vault's file {key} is damaged.", detail=str(error))
