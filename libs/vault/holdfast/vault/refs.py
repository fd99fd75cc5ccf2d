"""The values that the writer takes and gives back."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from holdfast.vault.chain import ChainHead
from holdfast.vault.page import PageMode
from holdfast.vault.schema import RecordSchema


@dataclass(frozen=True)
class StagedRef:
    """A staged page as it was announced.

    Attributes:
        path: Key in the store.
        again: Some of its events may be in the table already, from another page of the run: only bodies, named again
            after a page of theirs was given up.
    """

    path: str
    page_id: str
    run: int
    seq: int
    rows: int
    sha256: str
    mode: PageMode
    schema: RecordSchema
    again: bool = False


@dataclass(frozen=True)
class Counts:
    """What a page's observations became.

    `touched`: only the stamp moved. `repeated`: nothing to say. `stale`: older than the state.
    The first six count events; a deleted record seen deleted again counts as `touched`. `attached`: bodies of
    files that came in, which are events and no changes.
    """

    captured: int = 0
    created: int = 0
    updated: int = 0
    touched: int = 0
    deleted: int = 0
    undeleted: int = 0
    repeated: int = 0
    stale: int = 0
    attached: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def events(self) -> int:
        """Rows written to the table."""
        changes = self.captured + self.created + self.updated + self.touched + self.deleted + self.undeleted
        return changes + self.attached

    def to_json(self) -> dict[str, int]:
        """Counts that are not zero."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name)}

    @classmethod
    def from_json(cls, body: dict[str, int]) -> Counts:
        """The counts of `to_json`."""
        return cls(**body)


@dataclass(frozen=True)
class EventFile:
    """A file of the table. `path` is relative to the table's folder; `schema` is a schema id."""

    path: str
    sha256: str
    rows: int
    bytes: int
    page_id: str
    run: int
    seq: int
    schema: str
    mode: PageMode

    def to_json(self) -> dict[str, Any]:
        """The form in a chain entry."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> EventFile:
        """The file of `to_json`."""
        return cls(**{f.name: body[f.name] for f in fields(cls)})


@dataclass(frozen=True)
class PageCounts:
    """The counts of one page."""

    page_id: str
    counts: Counts


@dataclass(frozen=True)
class Committed:
    """A page or several are in the table.

    Attributes:
        version: Delta version to read them at.
        chain_head: The chain after the commit, to be remembered outside the bucket.
        counts: Of all pages together.
        bytes: Size of the files added; 0 if there was nothing to write.
        events: Rows added.
    """

    version: int
    chain_head: ChainHead
    counts: Counts
    pages: tuple[PageCounts, ...]
    bytes: int
    events: int
