"""File contents, kept once each in a folder by their digest. A row holds a reference: `sha256:<digest>:<bytes>`."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import weakref
from pathlib import Path

from holdfast.orgsim.errors import ApiError

_REFERENCE = re.compile(r"sha256:([0-9a-f]{64}):(\d+)")
_READ_BYTES = 1 << 20


class Blobs:
    """The contents of one org's files. Without a folder they live in a temporary one, gone with this object."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._md5: dict[str, str] = {}

    def keep(self, content: bytes | memoryview) -> str:
        """Store a content; its reference. The same content is stored once."""
        digest = hashlib.sha256(content).hexdigest()
        target = self._home() / digest[:2] / digest
        reference = f"sha256:{digest}:{len(content)}"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_suffix(".part")
            partial.write_bytes(content)
            partial.replace(target)
            self._md5[reference] = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return reference

    def knows(self, reference: str) -> bool:
        """Whether the text is the reference of a stored content."""
        return _REFERENCE.fullmatch(reference) is not None and self.path(reference).exists()

    def path(self, reference: str) -> Path:
        """The file that holds a content.

        Raises:
            ApiError: 404 for a text that is no reference.
        """
        match = _REFERENCE.fullmatch(reference)
        if match is None:
            raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")
        return self._home() / match.group(1)[:2] / match.group(1)

    def md5(self, reference: str) -> str:
        """The MD5 of a content in hexadecimal, as ContentVersion.Checksum has it."""
        if reference not in self._md5:
            digest = hashlib.md5(usedforsecurity=False)
            with self.path(reference).open("rb") as file:
                while chunk := file.read(_READ_BYTES):
                    digest.update(chunk)
            self._md5[reference] = digest.hexdigest()
        return self._md5[reference]

    def _home(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="orgsim-blobs-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder


class Content:
    """A kept content that is read in pieces, for an answer that does not hold it in memory."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, start: int, length: int) -> bytes:
        """Bytes `start` … `start + length`."""
        with self._path.open("rb") as file:
            file.seek(start)
            return file.read(length)


def size_of(reference: str) -> int:
    """The length of a content in bytes, from its reference; 0 for anything else."""
    match = _REFERENCE.fullmatch(reference)
    return int(match.group(2)) if match else 0
