"""Files that are mapped into memory: their pages count as the process's memory until they are given back."""

from __future__ import annotations

import mmap
from pathlib import Path
from weakref import WeakSet

RELEASE_BYTES = 400_000_000  # pages are given back when files take more of the process's memory than this
_STATM = Path("/proc/self/statm")  # Linux; elsewhere the system gives pages back on its own
_mapped: WeakSet[mmap.mmap] = WeakSet()


def map_file(path: Path) -> mmap.mmap:
    """The file's bytes, for reading."""
    with path.open("rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    _mapped.add(mapping)
    return mapping


def release_mapped_pages() -> None:
    """Give back the pages if they are many; the next read takes them from the system's cache again."""
    if _mapped and _STATM.exists() and int(_STATM.read_text().split()[2]) * mmap.PAGESIZE > RELEASE_BYTES:
        for mapping in list(_mapped):
            mapping.madvise(mmap.MADV_DONTNEED)
