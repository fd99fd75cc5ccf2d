"""Bytes that are written once, in order, and read often: a few in memory, more in a file that has no name."""

from __future__ import annotations

import contextlib
import os
import resource
import tempfile
import weakref
from functools import cache
from pathlib import Path

IN_MEMORY_BYTES = 1_000_000


class Spool:
    """One thread appends; any other may read what was appended before. The file goes with the object."""

    def __init__(self) -> None:
        self.size = 0
        self._memory = bytearray()
        self._file: int | None = None  # its descriptor

    def append(self, data: bytes) -> None:
        """Add to the end."""
        if self._file is None and self.size + len(data) > IN_MEMORY_BYTES:
            file = _nameless_file()
            weakref.finalize(self, os.close, file)
            _write(file, bytes(self._memory))
            self._file, self._memory = file, bytearray()
        if self._file is None:
            self._memory += data
        else:
            _write(self._file, data)
        self.size += len(data)

    def read(self, start: int, length: int) -> bytes:
        """Bytes `start` … `start + length`, which must have been appended."""
        if self._file is None:
            return bytes(self._memory[start : start + length])
        return os.pread(self._file, length, start)


def _nameless_file() -> int:
    _allow_many_files()
    descriptor, path = tempfile.mkstemp(prefix="orgsim-result-")
    Path(path).unlink()
    return descriptor


@cache
def _allow_many_files() -> None:
    """Let the process open as many files as it may: each large result of the last days keeps one open."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # some systems call it unlimited and then refuse
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _write(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]
