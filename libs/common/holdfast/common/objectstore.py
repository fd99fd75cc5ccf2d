"""Objects by key, in a local folder or in S3: written whole, once, and durable before a call returns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlparse

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import DurableStep
from holdfast.common.settings import Settings


class Entry(NamedTuple):
    """An object in a listing."""

    key: str
    size: int


Listing = list[Entry]


class ObjectStore(Protocol):
    """What both kinds of store promise.

    Keys are relative, `/`-separated. Errors are HoldfastError: NOT_FOUND for a missing object, UNAVAILABLE or
    TIMEOUT for what may work later, FORBIDDEN for refused credentials.
    """

    @property
    def storage_options(self) -> dict[str, str]:
        """For delta-rs and Polars, beside `uri`."""

    def uri(self, key: str) -> str:
        """Where others find the object or folder."""

    def local_path(self, key: str) -> Path | None:
        """The file behind a key; None where there is none."""

    async def put_new(self, key: str, data: bytes | Path, step: DurableStep) -> None:
        """Create an object. The same bytes again are fine.

        Raises:
            HoldfastError: CONFLICT when the key holds other bytes.
        """

    async def move_new(self, local_file: Path, key: str, step: DurableStep) -> None:
        """Create an object from a file that is then gone; the same bytes again are fine."""

    async def put(self, key: str, data: bytes, step: DurableStep) -> None:
        """Create or replace an object; for pointers."""

    async def get(self, key: str) -> bytes:
        """The whole object."""

    async def get_range(self, key: str, start: int, length: int) -> bytes:
        """`length` bytes from `start`."""

    async def size(self, key: str) -> int:
        """Size in bytes."""

    async def exists(self, key: str) -> bool:
        """Whether the object is there."""

    async def list(self, prefix: str) -> Listing:
        """Objects below a folder, sorted by key."""

    async def delete(self, keys: Sequence[str], step: DurableStep) -> None:
        """Remove objects; a missing one is fine."""


async def open_store(settings: Settings) -> ObjectStore:
    """The store that `object_store` names.

    Raises:
        HoldfastError: INVALID for an address that is neither `file:///…` nor `s3://bucket/…`.
    """
    from holdfast.common.folderstore import FolderStore  # noqa: PLC0415 - both implement this module
    from holdfast.common.s3store import open_s3  # noqa: PLC0415

    address = urlparse(settings.object_store)
    if address.scheme == "file" and address.path not in {"", "/"}:
        return FolderStore(Path(address.path))
    if address.scheme == "s3" and address.netloc:
        return open_s3(settings, address.netloc, address.path.strip("/"))
    raise HoldfastError(
        Kind.INVALID,
        f"{settings.object_store!r} is not an object store: use file:///folder or s3://bucket/prefix.",
        code="object-store-address",
        field="object_store",
    )


def conflict(key: str) -> HoldfastError:
    """The error for a key that is taken by other bytes."""
    return HoldfastError(Kind.CONFLICT, f"The object {key} exists with other content.", code="object-exists")


def missing(key: str) -> HoldfastError:
    """The error for an object that is not there."""
    return HoldfastError(Kind.NOT_FOUND, f"The object {key} does not exist.", code="object-missing")


async def probe(store: ObjectStore) -> None:
    """Refuse a store that does not honour create-if-absent; see `holdfast.common.storeprobe`."""
    from holdfast.common.storeprobe import probe as race  # noqa: PLC0415 - it builds on this module

    await race(store)
