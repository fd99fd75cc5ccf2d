"""The ledger of a running org: an append-only file of JSON lines, with files of columns beside it for mass changes."""

from __future__ import annotations

import os
import shutil
import weakref
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from holdfast.orgsim.ledger import temporary as temporary_folders
from holdfast.orgsim.ledger.blocks import Block
from holdfast.orgsim.ledger.entries import Entry, Loaded, Values
from holdfast.orgsim.ledger.replay import LEDGER_FILE, ROWS_FOLDER, entries_of, lines_from, snapshot

MASS_ROWS = 500  # from here on a change of many rows is one line with a file of columns
MARK_EVERY = 256


class Ledger:
    """Append-only. The file can be read at any moment: it holds whole lines, and files are there before their line.

    Nothing but a sparse index stays in memory. Without a folder the file lies in a temporary one, until the process
    ends or the ledger is closed.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._temporary = temporary = folder is None
        self.folder = temporary_folders.new_folder() if folder is None else folder
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.folder / ROWS_FOLDER, ignore_errors=True)
        flags = os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_RDWR
        self._fd = os.open(self.folder / LEDGER_FILE, flags, 0o644)
        if temporary:
            temporary_folders.hold(self._fd)
        self._close = weakref.finalize(self, _release, self._fd, self.folder if temporary else None)
        self._size = 0
        self.sequence = 0
        self._marks: list[tuple[int, int]] = [(0, 0)]  # (number of the last entry before, offset), every so often

    def append(self, at: datetime, blocks: Sequence[Block]) -> None:
        """Append what one transaction changed: all of it, or nothing if a block cannot be written."""
        lines: list[bytes] = []
        before = self.sequence
        try:
            for block in blocks:
                if block.height < MASS_ROWS:
                    lines += [entry.line() for entry in block.entries(self.sequence + 1, at)]
                else:
                    lines.append(self._mass_line(at, block))
                self.sequence += block.height
        except BaseException:
            self.sequence = before
            raise
        if lines:
            self._write(lines)

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
        self.sequence += 1
        entry = Entry(self.sequence, at, object_name, record_id, operation, before, after, who, api, note)
        self._write([entry.line()])

    def record_load(
        self,
        at: datetime,
        object_name: str,
        rows: pl.DataFrame,
        files: Sequence[Path] = (),
        constants: Mapping[str, str | None] | None = None,
    ) -> None:
        """Append a mass load as one entry.

        Args:
            at: When.
            object_name: Whose rows.
            rows: The rows; not looked at if there are files but for their number.
            files: Arrow files that hold them already; they are linked, so they must not be changed in place.
            constants: Fields that the files lack since every row has the same value.
        """
        self.sequence += 1
        item: dict[str, Any] = {"seq": self.sequence, "at": at.isoformat(), "object": object_name, "op": "loaded",
                                "rows": rows.height}  # fmt: skip
        if files:
            item["files"] = [self._link(file, number) for number, file in enumerate(files)]
            item["constants"] = dict(constants or {})
        elif rows.height < MASS_ROWS:
            item["inline"] = rows.to_dict(as_series=False)
        else:
            item["files"] = [self._columns_file(rows)]
        self._write([orjson.dumps(item)])

    def since(self, sequence: int, object_name: str | None = None) -> Iterator[Entry | Loaded]:
        """Entries after `sequence`, in order, of one object or of all."""
        _, offset = self._marks[bisect_right(self._marks, (sequence, self._size)) - 1]
        end = self._size
        for item in lines_from(self.folder / LEDGER_FILE, offset, end):
            if item.get("last", item["seq"]) > sequence and object_name in (None, item["object"]):
                yield from (e for e in entries_of(self.folder, item) if e.sequence > sequence)

    def state_at(self, at: datetime, object_name: str) -> dict[str, dict[str, Any]]:
        """The object's records as they were at a moment, rebuilt from the file alone, by id."""
        rows = snapshot(self.folder, at, [object_name]).get(object_name)
        return {} if rows is None else {row["Id"]: row for row in rows.iter_rows(named=True)}

    def close(self) -> None:
        """Close the file."""
        self._close()

    def _mass_line(self, at: datetime, block: Block) -> bytes:
        item: dict[str, Any] = {
            "seq": self.sequence + 1,
            "last": self.sequence + block.height,
            "at": at.isoformat(),
            "object": block.object,
            "op": block.operation,
            "who": block.who,
            "api": block.api,
            "rows": block.height,
            "had": block.before is not None,
            "files": [self._columns_file(block.columns(), self.sequence + 1)],
        }
        if isinstance(block.notes, str):
            item["note"] = block.notes
        return orjson.dumps(item)

    def _columns_file(self, rows: pl.DataFrame, number: int | None = None) -> str:
        name = f"{ROWS_FOLDER}/{number or self.sequence:012d}.arrow"
        target = self.folder / name
        target.parent.mkdir(exist_ok=True)
        rows.write_ipc(target, compression="lz4")
        return name

    def _link(self, file: Path, number: int) -> str:
        name = f"{ROWS_FOLDER}/{self.sequence:012d}-{number:04d}.arrow"
        target = self.folder / name
        target.parent.mkdir(exist_ok=True)
        try:
            target.hardlink_to(file)
        except OSError:  # another file system
            if self._temporary:
                target.symlink_to(file.resolve())
            else:
                shutil.copyfile(file, target)
        return name

    def _write(self, lines: Sequence[bytes]) -> None:
        data = b"".join(line + b"\n" for line in lines)
        if self.sequence - self._marks[-1][0] >= MARK_EVERY:
            self._marks.append((orjson.loads(lines[0])["seq"] - 1, self._size))
        os.write(self._fd, data)
        self._size += len(data)


def _release(fd: int, temporary: Path | None) -> None:
    os.close(fd)
    if temporary is not None:
        shutil.rmtree(temporary, ignore_errors=True)
