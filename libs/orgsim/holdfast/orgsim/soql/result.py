"""What a query answers: its columns in the order of the SELECT, and its rows, held at once or read page by page."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import polars as pl

from holdfast.orgsim.soql.columns import Column
from holdfast.orgsim.soql.reading import Snapshot

CHUNK_ROWS = 20_000


@dataclass(frozen=True)
class Output:
    """One selected value: as written, as answered (API name or alias), and its column in the result."""

    written: str
    path: tuple[str, ...]
    column: Column


@dataclass(frozen=True)
class Children:
    """Child rows of a subquery: the relationship's name, the child's lookup, and the rows of given parents."""

    relationship: str
    lookup: str
    of: Callable[[pl.Series], Result]


@dataclass(frozen=True)
class Variants:
    """A TYPEOF: the relationship, the column with the parent's id, and what is answered per type of parent."""

    relationship: str
    key: str
    by_prefix: dict[str, Callable[[pl.Series], Result]]


Item = Output | Children | Variants


class StoredRows:
    """Rows too many to hold: found by id ranges or ids in a snapshot, a chunk at a time. Safe to read from threads."""

    def __init__(
        self,
        tables: Snapshot,
        columns: Sequence[str],
        ids: pl.Series,
        condition: pl.Expr | None,
        *,
        scattered: bool,
    ) -> None:
        """`condition` alone finds the rows again unless they are `scattered`, i.e. sorted or filtered by parents."""
        self.height = ids.len()
        self._tables = tables
        self._columns = list(columns)
        self._condition = condition
        self._ids = ids if scattered else None
        self._firsts = ids.gather_every(CHUNK_ROWS)
        self._last = ids[-1] if self.height else ""
        self._lock = threading.Lock()
        self._chunks: dict[int, pl.DataFrame] = {}

    def slice(self, start: int, count: int) -> pl.DataFrame:
        """Rows `start` … `start + count`."""
        start, end = min(start, self.height), min(start + count, self.height)
        first, last = start // CHUNK_ROWS, max(start, end - 1, 0) // CHUNK_ROWS
        with self._lock:
            self._chunks = {n: self._chunks[n] if n in self._chunks else self._read(n) for n in range(first, last + 1)}
            rows = pl.concat(self._chunks.values())
        return rows.slice(start - first * CHUNK_ROWS, end - start)

    def _read(self, number: int) -> pl.DataFrame:
        table = self._tables.base
        if self._ids is not None:
            wanted = self._ids.slice(number * CHUNK_ROWS, CHUNK_ROWS)
            return self._tables.complete(table.fetch(wanted).select(self._columns))
        more = number + 1 < self._firsts.len()
        rows = table.span(self._firsts[number], self._firsts[number + 1] if more else None).lazy()
        if not more:
            rows = rows.filter(pl.col("Id") <= self._last)
        if self._condition is not None:
            rows = rows.filter(self._condition)
        return self._tables.complete(rows.select(self._columns).collect())


@dataclass
class Result:
    """Rows of a query. For `SELECT COUNT()` only `total` counts and there are no rows."""

    object: str
    rows: pl.DataFrame | StoredRows
    items: list[Item]
    total: int
    aggregate: bool = False
    counted: bool = False
    parents: dict[tuple[str, ...], str] = field(default_factory=dict)

    @property
    def outputs(self) -> list[Output]:
        """The selected values, children and variants left out."""
        return [item for item in self.items if isinstance(item, Output)]

    @property
    def height(self) -> int:
        """How many rows there are."""
        return self.rows.height

    @property
    def nested(self) -> bool:
        """Whether rows hold child records."""
        return any(isinstance(item, Children) for item in self.items)

    @property
    def frame(self) -> pl.DataFrame:
        """All rows at once."""
        return self.rows if isinstance(self.rows, pl.DataFrame) else self.rows.slice(0, self.rows.height)

    def slice(self, start: int, count: int) -> pl.DataFrame:
        """Rows `start` … `start + count`."""
        return self.rows.slice(start, count)
