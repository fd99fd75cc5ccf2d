"""Reads a ledger's file: entry by entry, or as the org was at a moment. Needs the file and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from holdfast.orgsim.ledger.blocks import Block
from holdfast.orgsim.ledger.entries import Entry, Loaded

LEDGER_FILE = "ledger.jsonl"
ROWS_FOLDER = "ledger-rows"


def lines_from(file: Path, offset: int = 0, end: int | None = None) -> Iterator[dict[str, Any]]:
    """The lines of a ledger's file from a byte offset on. A line that is not complete yet is left out."""
    with file.open("rb") as lines:
        lines.seek(offset)
        for line in lines:
            offset += len(line)
            if not line.endswith(b"\n") or (end is not None and offset > end):
                return
            yield orjson.loads(line)


def entries_of(folder: Path, item: Mapping[str, Any]) -> Iterator[Entry | Loaded]:
    """What one line of the file stands for: an entry, a load, or the entries of a mass change."""
    at = datetime.fromisoformat(item["at"])
    if item["op"] == "loaded":
        yield Loaded(item["seq"], at, item["object"], item["rows"], lambda: _loaded(folder, item).collect())
    elif "files" in item:
        yield from _block(folder, item).entries(item["seq"], at)
    else:
        yield Entry(item["seq"], at, item["object"], item["id"], item["op"], item["before"], item["values"],
                    item["who"], item["api"], item.get("note"))  # fmt: skip


def _block(folder: Path, item: Mapping[str, Any]) -> Block:
    frame = pl.concat([pl.read_ipc(folder / name) for name in item["files"]])
    return Block.of_columns(
        frame, item["object"], item["op"], item["who"], item["api"], item.get("note"), had=item["had"]
    )


def _loaded(folder: Path, item: Mapping[str, Any]) -> pl.LazyFrame:
    if "inline" in item:
        return pl.LazyFrame(item["inline"], schema=dict.fromkeys(item["inline"], pl.String))
    rows = pl.concat([pl.scan_ipc(folder / name) for name in item["files"]], how="diagonal")
    constants = item.get("constants", {})
    return rows.with_columns(pl.lit(value, dtype=pl.String).alias(name) for name, value in constants.items())


def snapshot(
    ledger: Path, at: datetime | None = None, objects: Collection[str] | None = None
) -> dict[str, pl.DataFrame]:
    """Every record as it was at a moment, rebuilt from the ledger's file alone.

    Args:
        ledger: The folder of the file, or the file. The org may be writing it, or be gone.
        at: The moment, aware; changes of that very moment are in. None: the end of the file.
        objects: Only these.

    Returns:
        By object one row per record, deleted ones included, in id order. A field that was made later than a record
        was saved is null in it. Objects without records are absent.
    """
    found = {name: truth.rows for name, truth in truths(ledger, at, objects).items()}
    return {name: rows for name, rows in found.items() if rows.height}


@dataclass(frozen=True)
class Truth:
    """What a ledger tells of one object: `rows` as `snapshot` gives them, and the ids of records gone for good."""

    rows: pl.DataFrame
    gone: pl.Series


def truths(ledger: Path, at: datetime | None = None, objects: Collection[str] | None = None) -> dict[str, Truth]:
    """Like `snapshot`, with the ids of what is gone for good."""
    folder = ledger if ledger.is_dir() else ledger.parent
    file = folder / LEDGER_FILE if ledger.is_dir() else ledger
    states: dict[str, _State] = {}
    for item in lines_from(file):
        if objects is not None and item["object"] not in objects:
            continue
        if at is None or datetime.fromisoformat(item["at"]) <= at:
            states.setdefault(item["object"], _State(folder)).take(item)
    return {name: state.truth() for name, state in states.items()}


class _State:
    """The records of one object while its changes are read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loads: list[pl.LazyFrame] = []
        self._changes: list[pl.DataFrame] = []
        self._singles: list[dict[str, str | None]] = []

    def take(self, item: Mapping[str, Any]) -> None:
        if item["op"] == "loaded":
            self._loads.append(_loaded(self._folder, item))
        elif "files" in item:
            self._flush()
            block = _block(self._folder, item)
            gone = block.after is None
            rows = block.ids.to_frame() if block.after is None else block.after
            self._changes.append(rows.with_columns(pl.lit(gone).alias(_GONE)))
        elif item["values"] is None:
            self._singles.append({"Id": item["id"], _GONE: "true"})
        else:
            self._singles.append(item["values"])

    def _flush(self) -> None:
        if self._singles:
            names = dict.fromkeys(name for row in self._singles for name in row)
            columns = {name: [row.get(name) for row in self._singles] for name in names}
            frame = pl.DataFrame(columns, schema=dict.fromkeys(names, pl.String))
            gone = pl.col(_GONE).is_not_null() if _GONE in names else pl.lit(value=False)
            self._changes.append(frame.with_columns(gone.alias(_GONE)))
            self._singles = []

    def truth(self) -> Truth:
        self._flush()
        empty = pl.DataFrame(schema={"Id": pl.String, _GONE: pl.Boolean})
        changes = pl.concat([empty, *self._changes], how="diagonal").unique("Id", keep="last", maintain_order=True)
        parts = [changes.lazy().filter(~pl.col(_GONE)).drop(_GONE)]
        if self._loads:
            loads = pl.concat(self._loads, how="diagonal")
            parts.insert(0, loads.join(changes.lazy().select("Id"), on="Id", how="anti"))
        return Truth(pl.concat(parts, how="diagonal").sort("Id").collect(), changes.filter(pl.col(_GONE))["Id"])


_GONE = "\x00gone"
