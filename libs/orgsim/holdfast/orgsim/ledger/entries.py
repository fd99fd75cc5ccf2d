"""The truth: every accepted change of every record, in commit order, with all values after it.

A mass load is one `loaded` entry per object whose rows are kept as one immutable frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import orjson
import polars as pl

from holdfast.orgsim.ledger.blocks import Block

Values = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Entry:
    """One accepted change. `before` is None for an insert, `after` is None once the row is gone for good."""

    sequence: int
    at: datetime
    object: str
    id: str
    operation: str
    before: Values | None
    after: Values | None
    who: str
    api: str
    note: str | None = None

    def line(self) -> bytes:
        """The entry as one JSON line."""
        stamp = None if self.after is None else self.after.get("SystemModstamp")
        item = {
            "seq": self.sequence,
            "at": self.at.isoformat(),
            "object": self.object,
            "id": self.id,
            "op": self.operation,
            "stamp": stamp,
            "who": self.who,
            "api": self.api,
            "before": None if self.before is None else _present(self.before),
            "values": None if self.after is None else dict(self.after),
        }
        if self.note is not None:
            item["note"] = self.note
        return orjson.dumps(item)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A mass load of one object."""

    sequence: int
    at: datetime
    object: str
    rows: pl.DataFrame

    def line(self) -> bytes:
        """A summary line; the rows themselves come from `Ledger.loaded_rows`."""
        return orjson.dumps(
            {
                "seq": self.sequence,
                "at": self.at.isoformat(),
                "object": self.object,
                "op": "loaded",
                "rows": self.rows.height,
            }
        )


class Ledger:
    """Append-only. With a folder, each entry is also a line of `ledger.jsonl` there."""

    def __init__(self, folder: Path | None = None) -> None:
        self._entries: list[Entry | Loaded] = []
        self._file: IO[bytes] | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / "ledger.jsonl").open("wb")

    @property
    def sequence(self) -> int:
        """Number of the last entry; 0 before the first."""
        return len(self._entries)

    def record(
        self,
        at: datetime,
        object_name: str,
        record_id: str,
        operation: str,
        *,
        before: Values | None,
        after: Values | None,
        who: str,
        api: str,
        note: str | None = None,
    ) -> None:
        """Append one change."""
        self._append(Entry(self.sequence + 1, at, object_name, record_id, operation, before, after, who, api, note))

    def append(self, at: datetime, blocks: Sequence[Block]) -> None:
        """Append what one transaction changed."""
        for block in blocks:
            befores = iter(()) if block.before is None else block.before.iter_rows(named=True)
            afters = iter(()) if block.after is None else block.after.iter_rows(named=True)
            for row, record_id in enumerate(block.ids.to_list()):
                self.record(at, block.object, record_id, block.operation, before=next(befores, None),
                            after=next(afters, None), who=block.who, api=block.api, note=block.note(row))  # fmt: skip

    def record_load(self, at: datetime, object_name: str, rows: pl.DataFrame) -> None:
        """Append a mass load."""
        self._append(Loaded(self.sequence + 1, at, object_name, rows))

    def since(self, sequence: int, object_name: str | None = None) -> Iterator[Entry | Loaded]:
        """Entries after `sequence`, in order, of one object or of all."""
        for entry in self._entries[sequence:]:
            if object_name is None or entry.object == object_name:
                yield entry

    def loaded_rows(self, sequence: int) -> pl.DataFrame | None:
        """The rows of the mass load with this number."""
        entry = self._entries[sequence - 1] if 0 < sequence <= len(self._entries) else None
        return entry.rows if isinstance(entry, Loaded) else None

    def state_at(self, at: datetime, object_name: str) -> dict[str, dict[str, Any]]:
        """The object's records as they were at a moment, rebuilt from the entries alone, by id."""
        state: dict[str, dict[str, Any]] = {}
        for entry in self._entries:
            if entry.object != object_name or entry.at > at:
                continue
            if isinstance(entry, Loaded):
                state.update((row["Id"], row) for row in entry.rows.iter_rows(named=True))
            elif entry.after is None:
                state.pop(entry.id, None)
            else:
                state[entry.id] = dict(entry.after)
        return state

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _append(self, entry: Entry | Loaded) -> None:
        self._entries.append(entry)
        if self._file is not None:
            self._file.write(entry.line() + b"\n")
            self._file.flush()


def _present(values: Values) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}
