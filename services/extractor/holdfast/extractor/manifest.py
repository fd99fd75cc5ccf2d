"""The manifest of an object: what lets the differ prove that it holds every page. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple


class ManifestPage(NamedTuple):
    """One durable page."""

    page_id: str
    rows: int
    sha256: str


def manifest_of(pages: Iterable[ManifestPage]) -> str:
    """SHA-256 over the lines `<page_id> <rows> <sha256>\\n` of pages in order of `seq`."""
    digest = hashlib.sha256()
    for page in pages:
        digest.update(f"{page.page_id} {page.rows} {page.sha256}\n".encode())
    return digest.hexdigest()
