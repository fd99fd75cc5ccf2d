"""Chunks in files that are mapped into memory: read by the page, shared with the system's cache, never rewritten."""

from __future__ import annotations

import mmap
from weakref import WeakSet


class MappedFile:
    """A file mapped for reading."""


_mapped: WeakSet[mmap.mmap] = WeakSet()


def release_mapped_pages() -> None:
    """Give back the memory of mapped pages; the next read takes them from the system's cache again."""
    for mapping in _mapped:
        mapping.madvise(mmap.MADV_DONTNEED)
