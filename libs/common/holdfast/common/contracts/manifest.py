"""The manifest of an object's pages: how the differ proves that it holds every page that the extractor staged."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Protocol


class ManifestPage(Protocol):
    """A page as the manifest counts it."""

    @property
    def page_id(self) -> str: ...
    @property
    def rows(self) -> int: ...
    @property
    def sha256(self) -> str: ...


def manifest_hash(pages: Iterable[ManifestPage]) -> str:
    """SHA-256 over `<page_id> <rows> <sha256>\\n` of the pages in order of `seq` (see `ObjectExtracted`)."""
    lines = "".join(f"{page.page_id} {page.rows} {page.sha256}\n" for page in pages)
    return hashlib.sha256(lines.encode()).hexdigest()
