"""Where downloads that all data folders share are kept."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """``$HOLDFAST_CACHE``, else ``holdfast`` in the user's cache folder."""
    configured = os.environ.get("HOLDFAST_CACHE")
    if configured:
        return Path(configured).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "holdfast"


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Let one process at a time fill a cache folder; others wait, then find it filled."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".filling").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
