"""A part of something longer that an answer sends without holding it in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

PIECE_BYTES = 1 << 18


class Source(Protocol):
    """Bytes that can be read anywhere."""

    def read(self, start: int, length: int) -> bytes:
        """Bytes `start` … `start + length`."""
        ...


@dataclass(frozen=True)
class Region:
    """A part of a source, sent piece by piece."""

    source: Source
    start: int
    length: int

    def pieces(self) -> Iterator[bytes]:
        """The bytes, in pieces that a socket takes at once."""
        for at in range(self.start, self.start + self.length, PIECE_BYTES):
            yield self.source.read(at, min(PIECE_BYTES, self.start + self.length - at))

    def read(self) -> bytes:
        """All of it."""
        return self.source.read(self.start, self.length)
