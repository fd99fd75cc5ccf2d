"""What a page's observations become, given the state: `docs/formats/vault.md` §5. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from holdfast.vault.columns import CAPTURED, CREATED, DELETED, TOUCHED, UNDELETED, UPDATED
from holdfast.vault.index import NO_STAMP, order_number
from holdfast.vault.page import PageMode
from holdfast.vault.refs import Counts

_KNOWN = pl.col("s_print").is_not_null()
_SAME_STAMP = pl.col("stamp") == pl.col("s_stamp")


@dataclass(frozen=True)
class Sorted:
    """The observations of a page that count: one per record, sorted by key."""

    rows: pl.DataFrame
    stale: int


def one_per_record(rows: pl.DataFrame) -> Sorted:
    """Of a record that occurs twice in a page, the observation with the later stamp, then the later row.

    Args:
        rows: `key`, `print`, `stamp` (null for none), `row`, `deleted`.
    """
    filled = rows.with_columns(
        pl.col("stamp").fill_null(NO_STAMP), (pl.col("key") > pl.col("key").shift()).fill_null(True).alias("rises")
    )
    if filled["rises"].all():
        return Sorted(filled.drop("rises"), 0)  # most pages come in order of ids
    last = (pl.col("key") != pl.col("key").shift(-1)).fill_null(True)
    kept = filled.drop("rises").sort("key", "stamp", "row").filter(last)
    return Sorted(kept, len(rows) - len(kept))


@dataclass(frozen=True)
class Decided:
    """Observations that may make an event, and how many do not.

    Attributes:
        rows: The observations with their state (`s_*`), their operation `op` (null where the values decide),
            and `look`: whether old values have to be looked at.
    """

    rows: pl.DataFrame
    repeated: int
    stale: int


def decide(
    rows: pl.DataFrame,
    state: pl.DataFrame,
    *,
    orders: pl.Series,
    comparable: Sequence[bool],
    run: int,
    seq: int,
    mode: PageMode,
) -> Decided:
    """Compare observations with the state.

    Args:
        rows: As `one_per_record` gives them.
        state: The index's entries of the same keys.
        orders: (`_run`, `_seq`) of each of the table's files.
        comparable: For each of the table's files, whether its fingerprints can be held against the page's:
            false if the page observes a field that the file does not and an earlier one did.
    """
    joined = pl.concat([rows, state.drop("key").rename(lambda name: f"s_{name}")], how="horizontal")
    joined = joined.with_columns(
        _of_file(joined["s_file"], orders).alias("s_order"),
        _of_file(joined["s_file"], pl.Series(comparable, dtype=pl.Boolean)).alias("comparable"),
    )
    equal = pl.col("comparable") & (pl.col("print") == pl.col("s_print"))
    repeat = _KNOWN & _SAME_STAMP & equal & (pl.col("deleted") == pl.col("s_deleted"))
    order = pl.lit(order_number(run, seq), pl.Int64)
    newer = (pl.col("stamp") > pl.col("s_stamp")) | (_SAME_STAMP & (order > pl.col("s_order")))
    marked = joined.with_columns(
        repeat.fill_null(False).alias("repeat"),
        (_KNOWN & ~newer).fill_null(False).alias("old"),
        equal.alias("equal"),
    )
    kept = marked.filter(~pl.col("repeat") & ~pl.col("old")).with_columns(_operation(mode))
    look = pl.col("op").is_null() | (pl.col("op") == UNDELETED)
    repeated = int(marked["repeat"].sum())
    return Decided(kept.with_columns(look.alias("look")), repeated, len(marked) - repeated - len(kept))


def _of_file(files: pl.Series, values: pl.Series) -> pl.Series:
    """A value of each row's file; null for a row without one."""
    return values.extend_constant(None, 1).gather(files.fill_null(len(values)))


def _operation(mode: PageMode) -> pl.Expr:
    first = CAPTURED if mode == "baseline" else CREATED
    return (
        pl.when("deleted").then(pl.lit(DELETED))
        .when(pl.col("s_print").is_null()).then(pl.lit(first))
        .when("s_deleted").then(pl.lit(UNDELETED))
        .when("equal").then(pl.lit(TOUCHED))
        .otherwise(pl.lit(None, pl.String))
        .alias("op")
    )  # fmt: skip


def changed_fields(before: pl.DataFrame, after: pl.DataFrame, names: Sequence[str]) -> pl.Series:
    """Names of the fields whose values differ, one sorted list per row (null if none does).

    Args:
        before, after: Rows of the same records in the same order.
        names: Fields to compare, sorted.
    """
    both = pl.concat([before.select(pl.col(names).name.prefix("b_")), after.select(names)], how="horizontal")
    differs = both.select(pl.col(name).ne_missing(pl.col(f"b_{name}")).alias(name) for name in names)
    parts = [
        pl.DataFrame({"at": column.arg_true()}).with_columns(pl.lit(column.name).alias("name"))
        for column in differs.get_columns()
        if column.any()
    ]
    rows = pl.DataFrame({"at": pl.int_range(len(after), dtype=pl.UInt32, eager=True)})
    if not parts:
        return pl.repeat(None, len(after), dtype=pl.List(pl.String), eager=True).alias("changed")
    lists = pl.concat(parts).group_by("at", maintain_order=True).agg(pl.col("name").alias("changed"))
    return rows.join(lists, on="at", how="left", maintain_order="left")["changed"]


def settle(looked: pl.DataFrame) -> pl.DataFrame:
    """Give an operation to the rows that waited for their values; drops those that turn out to be repeats.

    Args:
        looked: Rows of `Decided` with the column `changed`.
    """
    undecided = (
        pl.when(pl.col("changed").is_not_null()).then(pl.lit(UPDATED))
        .when(~_SAME_STAMP).then(pl.lit(TOUCHED))
        .otherwise(pl.lit(None, pl.String))
    )  # fmt: skip
    settled = looked.with_columns(pl.coalesce("op", undecided).alias("op"))
    return settled.filter(pl.col("op").is_not_null())


def count(events: pl.DataFrame, repeated: int, stale: int) -> Counts:
    """Counts of settled rows; a record that was deleted already and is deleted again is only touched."""
    again = (pl.col("op") == DELETED) & pl.col("s_deleted").fill_null(False)
    ops = events.select(pl.when(again).then(pl.lit(TOUCHED)).otherwise("op").alias("op"))["op"]
    return Counts(**dict(ops.value_counts().iter_rows()), repeated=repeated, stale=stale)
