"""A list of living records held against the state: who is missing, who is older, who is absent. Columnar throughout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

import polars as pl
import polars_hash as plh

from holdfast.vault.chunks import Schema, SortedRows
from holdfast.vault.files import index_rows
from holdfast.vault.index import NO_STAMP, StateIndex
from holdfast.vault.location import VaultRoot
from holdfast.vault.refs import StagedRef

_WRAP = 1 << 64
_STAMP_TEXT = "%Y-%m-%dT%H:%M:%S.%3fZ"


@dataclass(frozen=True)
class Sums:
    """Sums over records in any order: `docs/formats/vault.md` §11. `stamps` is empty if no record has a stamp."""

    records: int
    ids: str
    stamps: str


def sums_of(ids: pl.Series, stamps_ms: pl.Series) -> Sums:
    """The sums of a list of records.

    Args:
        ids: 18-character ids.
        stamps_ms: Their stamps in milliseconds since 1970, null where a record has none.
    """
    return _sums(_hashes(ids, stamps_ms))


def _hashes(ids: pl.Series, stamps_ms: pl.Series) -> pl.DataFrame:
    """Of each record the hash of its id, and of id and stamp (null without one): a fifth of the texts' memory."""
    stamped = stamps_ms.cast(pl.Int64).cast(pl.Datetime("ms")).dt.strftime(_STAMP_TEXT)
    texts = pl.DataFrame({"id": ids, "stamp": stamped}).select("id", both=pl.concat_str("id", pl.lit("|"), "stamp"))
    return texts.select(
        plh.col("id").nchash.xxh3_64(seed=0).alias("id_hash"), plh.col("both").nchash.xxh3_64(seed=0).alias("both_hash")
    )


def _sums(hashes: pl.DataFrame) -> Sums:
    both = hashes["both_hash"].drop_nulls()
    return Sums(len(hashes), _sum(hashes["id_hash"]), _sum(both) if len(both) else "")


def added_up(sums: Sequence[str]) -> str:
    """One sum out of those of the pages of a list; empty ones add nothing, and of nothing else comes nothing."""
    known = [int(one, 16) for one in sums if one]
    return f"{sum(known) % _WRAP:016x}" if known else ""


def _sum(hashed: pl.Series) -> str:
    halves = (
        int((hashed // (1 << 32)).sum()),
        int((hashed & 0xFFFFFFFF).sum()),
    )  # a sum of 64-bit numbers would overflow
    return f"{((halves[0] << 32) + halves[1]) % _WRAP:016x}"


@dataclass(frozen=True)
class Listing:
    """Living records as the org lists them, each once, and the index that knows their prefixes.

    Attributes:
        rows: `key` and `stamp` (the smallest long for none); of a record that came twice the later stamp. In a
            reading also `deleted`: what the newest observation says.
        sums: Over the rows of a census as they came; empty for a reading, which nobody summed.
    """

    rows: SortedRows
    sums: Sums
    index: StateIndex

    def living(self) -> Iterator[pl.DataFrame]:
        """Those that live, piece by piece in order of keys."""
        return (_living(piece) for piece in self.rows.pieces())


def _living(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(~pl.col("deleted")) if "deleted" in rows.columns else rows


def census(root: VaultRoot, pages: Sequence[StagedRef], index: StateIndex) -> Listing:
    """The records that the pages of a census list.

    Raises:
        HoldfastError: NOT_FOUND, DAMAGED: a page is gone, or is not what was staged.
    """
    rows, sums = SortedRows(_LISTED, ("stamp",)), list[Sums]()
    for page in pages:
        read = index_rows(root, page.path)
        keys, index = index.keys_of(read["id"])
        rows = rows.with_rows(read.select(keys, pl.col("stamp").fill_null(NO_STAMP)))
        sums.append(sums_of(read["id"], read["stamp"]))
    total = Sums(
        sum(one.records for one in sums),
        added_up([one.ids for one in sums]) or _sum(pl.Series([], dtype=pl.UInt64)),
        added_up([one.stamps for one in sums]),
    )
    return Listing(rows, total, index)


def reading(root: VaultRoot, pages: Sequence[StagedRef], index: StateIndex) -> Listing:
    """The records that pages of observations hold alive: of each record the newest observation counts."""
    rows = SortedRows(_READ, ("stamp",))
    for page in pages:
        read = index_rows(root, page.path)
        keys, index = index.keys_of(read["id"])
        rows = rows.with_rows(read.select(keys, pl.col("stamp").fill_null(NO_STAMP), "deleted"))
    return Listing(rows, Sums(0, "", ""), index)


_LISTED: Schema = {"key": pl.UInt64, "stamp": pl.Int64}
_READ: Schema = {**_LISTED, "deleted": pl.Boolean}


@dataclass(frozen=True)
class Named:
    """How many records, and the ids of the first of them."""

    count: int
    ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """What differs between the state and a list of living records.

    Attributes:
        listed: Records in the list, each counted once.
        sums: Over the list as it came, repeats included.
        missing: Listed, not alive in the state, and as old as is asked for.
        outdated: Alive in both, the list's stamp being later, and as old as is asked for.
        recent: Missing or outdated, and younger: whoever lists after reading sees what came in between.
        newer: Alive in both, the state's stamp being later.
        absent: Alive in the state and not listed.
    """

    listed: int
    sums: Sums
    missing: Named
    outdated: Named
    recent: Named
    newer: int
    absent: Named


@dataclass(frozen=True)
class Horizon:
    """Up to which stamp a record that is missing, or outdated, should have been read; None for any stamp."""

    missing: datetime | None
    outdated: datetime | None


def compare(listing: Listing, horizon: Horizon, name: int = 100) -> Comparison:
    """Hold a list against the state.

    Args:
        name: Ids to name at most of each kind.
    """
    parts = [_piece(rows, listing.index, horizon, name) for rows in listing.living()]
    held = sum(part.held for part in parts)
    return Comparison(
        listed=sum(part.listed for part in parts),
        sums=listing.sums,
        missing=_together([part.missing for part in parts], name),
        outdated=_together([part.outdated for part in parts], name),
        recent=_together([part.recent for part in parts], name),
        newer=sum(part.newer for part in parts),
        absent=_absent(listing, held, name),
    )


@dataclass(frozen=True)
class _Piece:
    """What differs in a range of keys; `held` are alive in both."""

    listed: int
    held: int
    missing: Named
    outdated: Named
    recent: Named
    newer: int


def _piece(rows: pl.DataFrame, index: StateIndex, horizon: Horizon, name: int) -> _Piece:
    state = index.lookup(rows["key"])
    held = state["deleted"].is_not_null() & ~state["deleted"].fill_null(True)
    older = held & (rows["stamp"] > state["stamp"].fill_null(NO_STAMP))
    missing_due, outdated_due = _until(rows, horizon.missing), _until(rows, horizon.outdated)
    recent = (~held & ~missing_due) | (older & ~outdated_due)

    def named(which: pl.Series) -> Named:
        keys = rows["key"].filter(which)
        return Named(len(keys), tuple(index.record_ids(keys.head(name))))

    return _Piece(
        listed=len(rows),
        held=int(held.sum()),
        missing=named(~held & missing_due),
        outdated=named(older & outdated_due),
        recent=named(recent),
        newer=int((held & (rows["stamp"] < state["stamp"].fill_null(NO_STAMP))).sum()),
    )


def _together(parts: Sequence[Named], name: int) -> Named:
    ids = (one for part in parts for one in part.ids)
    return Named(sum(part.count for part in parts), tuple(islice(ids, name)))


def _until(rows: pl.DataFrame, at: datetime | None) -> pl.Series:
    if at is None:
        return pl.repeat(True, len(rows), dtype=pl.Boolean, eager=True)
    return rows["stamp"] <= int(at.timestamp() * 1000)


def _absent(listing: Listing, held: int, name: int) -> Named:
    if held == listing.index.alive:
        return Named(0)
    keys = absent_keys(listing)
    return Named(len(keys), tuple(listing.index.record_ids(keys.head(name))))


def absent_keys(listing: Listing) -> pl.Series:
    """Keys of the records that are alive in the state and not listed, sorted."""
    absent = [pl.Series("key", [], dtype=pl.UInt64)]
    for entries in listing.index.pieces():
        alive = entries.filter(~pl.col("deleted"))["key"]
        if not len(alive):
            continue
        listed = _living(listing.rows.between(alive[0], alive[-1]))["key"]
        absent.append(alive.filter(~alive.is_in(listed.implode())))
    return pl.concat(absent)
