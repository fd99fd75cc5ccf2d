"""The object store in a local folder. Files and folder entries are synced before a call returns."""

from __future__ import annotations

import asyncio
import filecmp
import os
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from uuid import uuid4

from holdfast.common.durable import link_new, make_folders, sync_file, sync_folder, write_file
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import DurableStep
from holdfast.common.objectstore import Entry, Listing, conflict, missing

_SCRATCH = ".scratch"


class FolderStore:
    """Objects are files below `root`; half-written ones live in `.scratch` and are never listed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)
        (root / _SCRATCH).mkdir(exist_ok=True)

    @property
    def storage_options(self) -> dict[str, str]:
        return {}

    def uri(self, key: str) -> str:
        return str(self._path(key))

    def local_path(self, key: str) -> Path | None:
        return self._path(key)

    async def put_new(self, key: str, data: bytes | Path, step: DurableStep) -> None:
        await asyncio.to_thread(self._put_new, key, data, step)

    async def move_new(self, local_file: Path, key: str, step: DurableStep) -> None:
        await asyncio.to_thread(self._move_new, local_file, key, step)

    async def put(self, key: str, data: bytes, step: DurableStep) -> None:
        await asyncio.to_thread(self._put, key, data, step)

    async def get(self, key: str) -> bytes:
        return await asyncio.to_thread(self._read, key, 0, -1)

    async def get_range(self, key: str, start: int, length: int) -> bytes:
        return await asyncio.to_thread(self._read, key, start, length)

    async def size(self, key: str) -> int:
        try:
            return self._path(key).stat().st_size
        except FileNotFoundError:
            raise missing(key) from None

    async def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    async def list(self, prefix: str) -> Listing:
        return await asyncio.to_thread(self._list, prefix)

    async def delete(self, keys: Sequence[str], step: DurableStep) -> None:
        await asyncio.to_thread(self._delete, keys, step)

    def _path(self, key: str) -> Path:
        parts = PurePosixPath(key).parts
        if key.startswith("/") or ".." in parts or (parts and parts[0] == _SCRATCH):
            raise HoldfastError(Kind.INVALID, f"{key!r} is not an object key.", code="object-key")
        return self._root.joinpath(*parts)

    def _scratch(self) -> Path:
        return self._root / _SCRATCH / uuid4().hex

    def _put_new(self, key: str, data: bytes | Path, step: DurableStep) -> None:
        scratch = self._scratch()
        try:
            scratch.write_bytes(data.read_bytes() if isinstance(data, Path) else data)
            self._move_new(scratch, key, step)
        finally:
            scratch.unlink(missing_ok=True)

    def _move_new(self, local_file: Path, key: str, step: DurableStep) -> None:
        target = self._path(key)
        sync_file(local_file)
        make_folders(target.parent, self._root)
        source = self._on_this_disk(local_file)
        created = link_new(source, target, step)
        if not created and not filecmp.cmp(source, target, shallow=False):
            source.unlink()
            raise conflict(key)
        if not created:
            sync_folder(target.parent)  # an earlier writer may have died between link and sync
        source.unlink()
        local_file.unlink(missing_ok=True)

    def _on_this_disk(self, local_file: Path) -> Path:
        """A file that can be linked into the store: the same one, or a synced copy from another disk."""
        if local_file.stat().st_dev == self._root.stat().st_dev:
            return local_file
        scratch = self._scratch()
        shutil.copyfile(local_file, scratch)  # never whole in memory: a file may be 2 GB
        sync_file(scratch)
        return scratch

    def _put(self, key: str, data: bytes, step: DurableStep) -> None:
        target = self._path(key)
        make_folders(target.parent, self._root)
        write_file(target, data, step)

    def _read(self, key: str, start: int, length: int) -> bytes:
        try:
            with self._path(key).open("rb") as source:
                source.seek(start)
                return source.read(length)
        except (FileNotFoundError, IsADirectoryError):
            raise missing(key) from None

    def _list(self, prefix: str) -> Listing:
        entries = []
        for folder, _, names in os.walk(self._path(prefix)):
            for name in names:
                path = Path(folder) / name
                key = path.relative_to(self._root).as_posix()
                if not name.startswith(".") and not key.startswith(_SCRATCH):
                    entries.append(Entry(key, path.stat().st_size))
        return sorted(entries)

    def _delete(self, keys: Sequence[str], step: DurableStep) -> None:
        step.before()
        for key in keys:
            path = self._path(key)
            if path.exists():
                path.unlink()
                sync_folder(path.parent)
        step.after()
