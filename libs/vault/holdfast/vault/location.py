"""Where a vault is, and the few blocking file operations that its writer and readers need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from shutil import copyfile
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit
from uuid import uuid4

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, PreconditionError
from obstore.store import S3Store

from holdfast.common.durable import link_new, make_folders, sync_file, sync_folder
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import DurableStep


class StoreLocation(Protocol):
    """What the vault needs to know of an object store: `holdfast.common.objectstore.ObjectStore` has it."""

    @property
    def storage_options(self) -> dict[str, str]:
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
    def of(cls, store: StoreLocation | VaultRoot) -> VaultRoot:
        """The vault in an object store."""
        if isinstance(store, VaultRoot):
            return store
        folder = store.local_path("")
        if folder is not None:
            return cls.local(folder)
        return cls(store.uri("").rstrip("/"), dict(store.storage_options))

    def table_uri(self, job_id: str, object_name: str) -> str:
        """Address of an object's Delta table."""
        return f"{self.uri}/{table_key(job_id, object_name)}"

    def path(self, key: str) -> Path | None:
        """File of a key, for a local vault."""
        return None if self.folder is None else self.folder / key

    @cached_property
    def _s3(self) -> S3Store:
        options = self.options
        allow_http = options.pop("aws_allow_http", "false") == "true"
        return S3Store.from_url(self.uri, config=options, client_options={"allow_http": allow_http})  # type: ignore[arg-type]

    @property
    def options(self) -> dict[str, str]:
        """Storage options with lower-case names and what an S3 vault always needs.

        A bucket with a default retention refuses a PUT without a checksum.
        """
        if self.folder is not None:
            return {}
        options = {name.lower(): value for name, value in self.storage_options.items()}
        options.setdefault("aws_checksum_algorithm", "sha256")
        if options.get("aws_endpoint", "").startswith("http://"):
            options.setdefault("aws_allow_http", "true")
        return options

    def read(self, key: str) -> bytes:
        """All bytes of an object.

        Raises:
            HoldfastError: NOT_FOUND, UNAVAILABLE.
        """
        try:
            if self.folder is not None:
                return (self.folder / key).read_bytes()
            return bytes(obstore.get(self._s3, key).bytes())
        except (FileNotFoundError, NotFoundError) as error:
            raise HoldfastError(Kind.NOT_FOUND, f"The vault has no file {key}.") from error
        except BaseError as error:
            raise _unavailable(error) from error

    def pieces(self, key: str, size_bytes: int) -> Iterator[bytes]:
        """The bytes of an object in pieces of about a size, so that a large one is never whole in memory.

        Raises:
            HoldfastError: NOT_FOUND, UNAVAILABLE.
        """
        try:
            if self.folder is not None:
                with (self.folder / key).open("rb") as file:
                    while piece := file.read(size_bytes):
                        yield piece
                return
            for part in obstore.get(self._s3, key).stream(min_chunk_size=size_bytes):
                yield bytes(part)
        except (FileNotFoundError, NotFoundError) as error:
            raise HoldfastError(Kind.NOT_FOUND, f"The vault has no file {key}.") from error
        except BaseError as error:
            raise _unavailable(error) from error

    def size(self, key: str) -> int | None:
        """Bytes of an object; None if it is not there."""
        try:
            if self.folder is not None:
                return (self.folder / key).stat().st_size
            return obstore.head(self._s3, key)["size"]
        except (FileNotFoundError, NotFoundError):
            return None
        except BaseError as error:
            raise _unavailable(error) from error

    def list(self, prefix: str) -> list[Entry]:
        """All objects below a folder, sorted by key."""
        if self.folder is not None:
            top = self.folder / prefix
            files = [path for path in top.rglob("*") if path.is_file()] if top.is_dir() else []
            return sorted(Entry(path.relative_to(self.folder).as_posix(), path.stat().st_size) for path in files)
        try:
            batches = list(obstore.list(self._s3, prefix.rstrip("/") + "/"))
        except BaseError as error:
            raise _unavailable(error) from error
        return sorted(Entry(meta["path"], meta["size"]) for batch in batches for meta in batch)

    def put_new(self, key: str, data: bytes | Path, step: DurableStep) -> None:
        """Store an object that must not exist yet; durable when this returns.

        The same bytes under the same key again are no error.

        Raises:
            HoldfastError: CONFLICT if the key holds other bytes; UNAVAILABLE.
        """
        if self.folder is not None:
            created = _put_local(self.folder, self.folder / key, data, step)
        else:
            created = self._put_s3(key, data, step)
        if not created and self.read(key) != (data.read_bytes() if isinstance(data, Path) else data):
            raise HoldfastError(Kind.CONFLICT, f"The vault's file {key} exists with other bytes.")
        if not created:
            step.after()  # durable before this call, and checked to be so

    def _put_s3(self, key: str, data: bytes | Path, step: DurableStep) -> bool:
        step.before()
        try:
            obstore.put(self._s3, key, data, mode="create")
        except (AlreadyExistsError, PreconditionError):
            return False
        except BaseError as error:
            raise _unavailable(error) from error
        step.after()
        return True

    def delete(self, key: str) -> None:
        """Remove a cache file; records are never removed this way."""
        if self.folder is not None:
            (self.folder / key).unlink(missing_ok=True)
        else:
            obstore.delete(self._s3, key)


def _put_local(folder: Path, path: Path, data: bytes | Path, step: DurableStep) -> bool:
    """Write beside the place and link into it; whether the name was free.

    When it was not, whoever took it may have died before its entry was durable.
    """
    make_folders(path.parent, folder)
    scratch = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        if isinstance(data, Path):
            copyfile(data, scratch)
        else:
            scratch.write_bytes(data)
        sync_file(scratch)
        created = link_new(scratch, path, step)
    finally:
        scratch.unlink(missing_ok=True)
    if not created:
        sync_folder(path.parent)
    return created


def _unavailable(error: BaseError) -> HoldfastError:
    message = "The object store is not reachable right now."
    return HoldfastError(Kind.UNAVAILABLE, message, detail=str(error)[:2000])


def bucket_of(uri: str) -> tuple[str, str]:
    """Bucket and prefix of an S3 address."""
    parts = urlsplit(uri)
    return parts.netloc, parts.path.strip("/")
