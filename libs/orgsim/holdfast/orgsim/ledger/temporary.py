"""Folders for ledgers that nobody asked to keep. A process that was killed leaves its own; the next one removes it."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
import time
from functools import cache
from pathlib import Path

from holdfast.orgsim.ledger.replay import LEDGER_FILE

PREFIX = "orgsim-book-"
YOUNG_S = 60.0  # a folder may be so old before its ledger has locked its file


def new_folder() -> Path:
    """A folder of its own. Its ledger file is to be locked with `hold` while it is in use."""
    parent = Path(tempfile.gettempdir())
    _sweep(parent)
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))


def hold(descriptor: int) -> None:
    """Say that an open ledger file is in use, for as long as the process lives."""
    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


@cache
def _sweep(parent: Path) -> None:
    """Remove what dead processes left. Once per process."""
    for folder in parent.glob(PREFIX + "*"):
        try:
            if time.time() - folder.stat().st_mtime > YOUNG_S and not _in_use(folder / LEDGER_FILE):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # another process is quicker, or it is another user's
            continue


def _in_use(file: Path) -> bool:
    if not file.exists():
        return False
    with file.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
