"""Making a file survive a power cut: its bytes, and the folder entry that names it."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

from holdfast.common.failpoints import DurableStep


def sync_file(path: Path) -> None:
    """Flush a file's bytes to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(path: Path) -> None:
    """Flush a folder's entries to the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folders(path: Path, root: Path) -> None:
    """Create `path` below `root`; every new entry is durable when this returns."""
    missing = []
    current = path
    while current != root and not current.exists():
        missing.append(current)
        current = current.parent
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync_folder(folder.parent)


def write_file(path: Path, data: bytes, step: DurableStep) -> None:
    """Replace a small file atomically and durably.

    A crash leaves the old content or the new one, never a mixture.
    """
    scratch = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        scratch.write_bytes(data)
        sync_file(scratch)
        step.before()
        os.replace(scratch, path)  # noqa: PTH105 - the one place where it is made durable
    finally:
        scratch.unlink(missing_ok=True)
    sync_folder(path.parent)
    step.after()


def link_new(source: Path, target: Path, step: DurableStep) -> bool:
    """Give a complete, synced file its final name, unless the name is taken.

    Returns:
        False when `target` exists; it is left as it is.
    """
    step.before()
    try:
        os.link(source, target)  # link refuses an existing name, rename would replace it
    except FileExistsError:
        return False
    sync_folder(target.parent)
    step.after()
    return True
