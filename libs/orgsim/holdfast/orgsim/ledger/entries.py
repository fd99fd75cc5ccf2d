"""What the ledger tells: single changes and mass loads, each as one JSON line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import orjson
import polars as pl

Values = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Entry:
    """One accepted change.

    `before` has the values that were set, and is None for an insert; `after` has every field and is None once the row
    is gone for good.
    """

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
            "before": None if self.before is None else present(self.before),
            "values": None if self.after is None else dict(self.after),
        }
        if self.note is not None:
            item["note"] = self.note
        return orjson.dumps(item)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A mass load of one object. Its rows stay in their file until they are asked for."""

    sequence: int
    at: datetime
    object: str
    height: int
    read: Callable[[], pl.DataFrame]

    @property
    def rows(self) -> pl.DataFrame:
        """The rows."""
        return self.read()

    def line(self) -> bytes:
        """A summary line."""
        item = {"seq": self.sequence, "at": self.at.isoformat(), "object": self.object, "op": "loaded"}
        return orjson.dumps({**item, "rows": self.height})


def present(values: Values) -> dict[str, str]:
    """The values that are set."""
    return {name: value for name, value in values.items() if value is not None}
