"""In which files of a table the events of each page lie: a page's own file, or one that it was merged into."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

from holdfast.vault.refs import EventFile


class Place(NamedTuple):
    """Where a page's events begin: a file, relative to the table's folder, and the row in it."""

    path: str
    start: int


@dataclass(frozen=True)
class StoredFile:
    """A file that Delta's log names.

    Attributes:
        parts: Numbers of the page files whose rows it holds, in the order in which they stand. Page files are
            numbered from 0 in order of appends.
    """

    path: str
    sha256: str
    rows: int
    bytes: int
    parts: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """The form in a chain entry: parts as ranges, both ends included."""
        body = {"path": self.path, "sha256": self.sha256, "rows": self.rows, "bytes": self.bytes}
        return {**body, "parts": _ranges(self.parts)}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> StoredFile:
        """The file of `to_json`."""
        parts = tuple(part for first, last in body["parts"] for part in range(first, last + 1))
        return cls(body["path"], body["sha256"], body["rows"], body["bytes"], parts)


def _ranges(parts: Sequence[int]) -> list[list[int]]:
    breaks = [at for at, (one, two) in enumerate(pairwise(parts), start=1) if two != one + 1]
    bounds = [0, *breaks, len(parts)]
    return [[parts[start], parts[end - 1]] for start, end in pairwise(bounds)] if parts else []


@dataclass(frozen=True)
class Replacement:
    """What a compaction does: files taken out, and the ones that hold the same rows from now on.

    Attributes:
        at_ms: When it was made, in milliseconds since 1970.
        before, after: Order-independent hash of the rows taken out, and of those put in; they are equal.
    """

    removed: tuple[str, ...]
    files: tuple[StoredFile, ...]
    at_ms: int
    before: str
    after: str

    def to_json(self) -> dict[str, Any]:
        """The form in a chain entry."""
        files = [file.to_json() for file in self.files]
        hashes = {"before": self.before, "after": self.after}
        return {"removed": list(self.removed), "files": files, "at": self.at_ms, "rows": hashes}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Replacement:
        """The replacement of `to_json`."""
        files = tuple(StoredFile.from_json(file) for file in body["files"])
        return cls(tuple(body["removed"]), files, body["at"], body["rows"]["before"], body["rows"]["after"])


@dataclass(frozen=True)
class Layout:
    """The files of a table at one version.

    Attributes:
        pages: The page files, in order of appends; some have been merged into others.
        merged: The files that others were merged into, as far as they are still in use.
    """

    pages: tuple[EventFile, ...] = ()
    merged: tuple[StoredFile, ...] = ()

    @cached_property
    def _moved(self) -> dict[int, Place]:
        found = {}
        for file in self.merged:
            start = 0
            for part in file.parts:
                found[part] = Place(file.path, start)
                start += self.pages[part].rows
        return found

    def place(self, number: int) -> Place:
        """Where the events of a page file lie."""
        return self._moved.get(number) or Place(self.pages[number].path, 0)

    def stored(self) -> list[StoredFile]:
        """The files in use, in order of the first page of each."""
        own = [
            StoredFile(page.path, page.sha256, page.rows, page.bytes, (number,))
            for number, page in enumerate(self.pages)
            if number not in self._moved
        ]
        return sorted((*own, *self.merged), key=lambda file: file.parts[0])

    def appended(self, pages: Iterable[EventFile]) -> Layout:
        """The layout after an append."""
        return Layout((*self.pages, *pages), self.merged)

    def replaced(self, replacement: Replacement) -> Layout:
        """The layout after a compaction."""
        kept = (file for file in self.merged if file.path not in replacement.removed)
        return Layout(self.pages, (*kept, *replacement.files))
