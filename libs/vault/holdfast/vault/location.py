"""Where a vault is, and the few blocking file operations that its writer and readers need."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import S3Store

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import DurableStep


class StoreLocation(Protocol):
    """What the vault needs to know of an object store: `holdfast.common.objectstore.ObjectStore` has it."""

    @property
    def storage_options(self) -> Mapping[str, str]:
        """Options of the `object_store` family, for delta-rs."""

    def uri(self, key: str) -> str:
        """Address of a key."""

    def local_path(self, key: str) -> Path | None:
        """File of a key, for a store that is a folder."""


class Entry(NamedTuple):
    """A stored object."""

    key: str
    size_bytes: int


def table_key(job_id: str, object_name: str) -> str:
    """Key of an object's Delta table."""
    return f"{job_id}/records/{object_name}"


@dataclass(frozen=True)
class VaultRoot:
    """The root of a vault: a local folder or an S3 prefix. All calls block.

    Attributes:
        uri: `file:///…` or `s3://bucket/prefix`, without a slash at the end.
        storage_options: For S3: endpoint, credentials, region, `AWS_CHECKSUM_ALGORITHM`.
        folder: The folder, for a local vault.
    """

    uri: str
    storage_options: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None

    @classmethod
    def local(cls, folder: Path) -> VaultRoot:
        """A vault in a folder."""
        return cls(folder.absolute().as_uri(), {}, folder.absolute())

    @classmethod
    def of(cls, store: StoreLocation) -> VaultRoot:
        """The vault in an object store."""
        return cls(store.uri("").rstrip("/"), dict(store.storage_options), store.local_path(""))

    def table_uri(self, job_id: str, object_name: str) -> str:
        """Address of an object's Delta table."""
        return f"{self.uri}/{table_key(job_id, object_name)}"

    def path(self, key: str) -> Path | None:
        """File of a key, for a local vault."""
        return None if self.folder is None else self.folder / key

    @cached_property
    def _s3(self) -> S3Store:
        options = {name.lower(): value for name, value in self.storage_options.items()}
        allow_http = options.pop("aws_allow_http", options.pop("allow_http", "false")).lower() == "true"
        config = {name: value for name, value in options.items() if name.startswith("aws_")}
        return S3Store.from_url(self.uri, config=config, client_options={"allow_http": allow_http})  # type: ignore[arg-type]

    def read(self, key: str) -> bytes:
        """All bytes of an object.

        Raises:
            HoldfastError: NOT_FOUND.
        """
        try:
            if self.folder is not None:
                return (self.folder / key).read_bytes()
            return bytes(obstore.get(self._s3, key).bytes())
        except FileNotFoundError as error:
            raise HoldfastError(Kind.NOT_FOUND, f"The vault has no file {key}.") from error

    def size(self, key: str) -> int | None:
        """Bytes of an object; None if it is not there."""
        try:
            if self.folder is not None:
                return (self.folder / key).stat().st_size
            return obstore.head(self._s3, key)["size"]
        except FileNotFoundError:
            return None

    def list(self, prefix: str) -> list[Entry]:
        """All objects below a folder, sorted by key."""
        if self.folder is not None:
            top = self.folder / prefix
            files = [path for path in top.rglob("*") if path.is_file()] if top.is_dir() else []
            found = [Entry(str(path.relative_to(self.folder)), path.stat().st_size) for path in files]
        else:
            found = [
                Entry(meta["path"], meta["size"])
                for batch in obstore.list(self._s3, prefix.rstrip("/") + "/")
                for meta in batch
            ]
        return sorted(found)

    def put_new(self, key: str, data: bytes | Path, step: DurableStep) -> None:
        """Store an object that must not exist yet; durable when this returns.

        The same bytes under the same key again are no error.

        Raises:
            HoldfastError: CONFLICT if the key holds other bytes.
        """
        step.before()
        try:
            if self.folder is not None:
                _put_local(self.folder / key, data)
            else:
                obstore.put(self._s3, key, data, mode="create")
        except (FileExistsError, AlreadyExistsError) as error:
            held = data.read_bytes() if isinstance(data, Path) else data
            if self.read(key) != held:
                raise HoldfastError(Kind.CONFLICT, f"The vault's file {key} exists with other bytes.") from error
        step.after()

    def delete(self, key: str) -> None:
        """Remove a cache file; records are never removed this way."""
        if self.folder is not None:
            (self.folder / key).unlink(missing_ok=True)
        else:
            obstore.delete(self._s3, key)


def fsync_folder(folder: Path) -> None:
    """Make a folder's entries survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_file(path: Path) -> None:
    """Make a file's bytes survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create a folder with its parents, each of them durable."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    fsync_folder(folder.parent)


def _put_local(path: Path, data: bytes | Path) -> None:
    """Write beside the place and link into it: a link fails if the name is taken, a rename would not."""
    make_folder(path.parent)
    staged = path.with_name(f".{path.name}.{os.getpid()}.part")
    staged.unlink(missing_ok=True)
    if isinstance(data, Path) and data.stat().st_dev == path.parent.stat().st_dev:
        os.link(data, staged)
    else:
        staged.write_bytes(data.read_bytes() if isinstance(data, Path) else data)
    try:
        fsync_file(staged)
        os.link(staged, path)
        fsync_folder(path.parent)
    finally:
        staged.unlink(missing_ok=True)


def bucket_of(uri: str) -> tuple[str, str]:
    """Bucket and prefix of an S3 address."""
    parts = urlsplit(uri)
    return parts.netloc, parts.path.strip("/")
