"""A query's rows as CSV text, rendered once, block after block, into a spool that every page is a part of."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from threading import Lock
from typing import Protocol

import polars as pl

from holdfast.orgsim.api import csvtext
from holdfast.orgsim.api.bulk2.spool import Spool
from holdfast.orgsim.store.mapped import release_mapped_pages

BLOCK_ROWS = 8_192


class Rows(Protocol):
    """Rows that can be read in parts: a frame, or those of a query."""

    @property
    def height(self) -> int:
        """How many there are."""
        ...

    def slice(self, offset: int, length: int, /) -> pl.DataFrame:
        """Some of them."""
        ...


class ResultFile:
    """Rows become text in their order; they are let go once all of them are text."""

    def __init__(self, rows: Rows, columns: Sequence[str], *, separator: str, newline: str) -> None:
        self.rows = rows.height
        self.text = Spool()
        self._source: Rows | None = rows
        self._columns = list(columns)
        self._separator = separator
        self._newline = newline
        self._starts = [0]  # rows at which blocks begin …
        self._offsets = {0: 0}  # … and where the text of a row begins, for these and for others once found
        self._waiting: list[tuple[int, Future[None]]] = []
        self._lock = Lock()

    @property
    def complete(self) -> bool:
        """Whether all rows are text."""
        return self._starts[-1] == self.rows

    def render(self, rows: int) -> None:
        """Render at least `rows` more rows. Not from two threads at once."""
        source, until = self._source, min(self.rows, self._starts[-1] + rows)
        try:
            while source is not None and self._starts[-1] < until:
                start = self._starts[-1]
                count = min(BLOCK_ROWS, until - start)
                block = source.slice(start, count).select(self._columns)
                self._append(start + count, csvtext.rows(block, self._separator, self._newline))
                release_mapped_pages()
        except BaseException as error:
            self._fail(error)
            raise
        if self.complete:
            self._source = None

    def rendered(self, row: int) -> Future[None]:
        """Done as soon as the rows below `row` are text."""
        future: Future[None] = Future()
        with self._lock:
            if self._starts[-1] >= min(row, self.rows):
                future.set_result(None)
            else:
                self._waiting.append((min(row, self.rows), future))
        return future

    def offset_of(self, row: int) -> int:
        """Where the text of a rendered row begins; for the row after the last, where the text ends."""
        if row not in self._offsets:
            number = bisect_right(self._starts, row) - 1
            start, end = self._starts[number], self._starts[number + 1]
            at = self._offsets[start]
            text = self.text.read(at, self._offsets[end] - at)
            ends = _row_ends(text, self._newline.encode())
            self._offsets[row] = at + next(e for n, e in enumerate(ends, start + 1) if n == row)
        return self._offsets[row]

    def _append(self, row: int, text: bytes) -> None:
        self.text.append(text)
        with self._lock:
            self._offsets[row] = self.text.size
            self._starts.append(row)
            ready = [future for wanted, future in self._waiting if wanted <= row]
            self._waiting = [(wanted, future) for wanted, future in self._waiting if wanted > row]
        for future in ready:
            if future.set_running_or_notify_cancel():
                future.set_result(None)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)


def _row_ends(text: bytes, newline: bytes) -> Iterator[int]:
    """Where each row of CSV ends in which every value is quoted: at a line end outside quotes."""
    ending = b'"' + newline
    position = quotes = 0
    while (found := text.find(ending, position)) >= 0:
        quotes += text.count(b'"', position, found + 1)
        position = found + 1
        if quotes % 2 == 0:
            position = found + len(ending)
            yield position
