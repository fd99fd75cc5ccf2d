"""The object store in S3, over obstore. A new object is a conditional PUT: `If-None-Match: *`."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store as Client

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import DurableStep
from holdfast.common.objectstore import Entry, Listing, conflict, missing
from holdfast.common.settings import Settings

T = TypeVar("T")
_COMPARE_CHUNK_BYTES = 8 * 1024 * 1024


def open_s3(settings: Settings, bucket: str, prefix: str) -> S3Store:
    """A client for one bucket; nothing is sent yet."""
    options = {
        "aws_region": settings.s3_region,
        "aws_access_key_id": settings.s3_access_key,
        "aws_secret_access_key": settings.s3_secret_key.get_secret_value(),
        # A bucket with object lock refuses a PUT without a checksum.
        "aws_checksum_algorithm": "sha256",
    }
    if settings.s3_endpoint:
        options["aws_endpoint"] = settings.s3_endpoint
        options["aws_virtual_hosted_style_request"] = "false"
        if settings.s3_endpoint.startswith("http://"):
            options["aws_allow_http"] = "true"
    return S3Store(bucket, prefix, options)


class S3Store:
    """Objects below `prefix` of a bucket."""

    def __init__(self, bucket: str, prefix: str, options: dict[str, str]) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._options = options
        self._client = Client(
            bucket,
            prefix=prefix or None,
            config={key: value for key, value in options.items() if key != "aws_allow_http"},  # type: ignore[arg-type]
            client_options={
                "allow_http": options.get("aws_allow_http") == "true",
                "timeout": timedelta(seconds=60),
                "connect_timeout": timedelta(seconds=5),
            },
            retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=30)},
        )

    @property
    def storage_options(self) -> dict[str, str]:
        return dict(self._options)

    def uri(self, key: str) -> str:
        path = f"{self._prefix}/{key}" if self._prefix else key
        return f"s3://{self._bucket}/{path}"

    def local_path(self, key: str) -> Path | None:
        return None

    async def put_new(self, key: str, data: bytes | Path, step: DurableStep) -> None:
        step.before()
        try:
            await _mapped(obstore.put_async(self._client, key, data, mode="create"), key)
        except HoldfastError as error:
            if error.code != "object-exists":
                raise
            # Ours, if a reply was lost and the client asked again; another's, if the bytes differ.
            if not await self._holds(key, data):
                raise
        step.after()

    async def move_new(self, local_file: Path, key: str, step: DurableStep) -> None:
        await self.put_new(key, local_file, step)
        await asyncio.to_thread(local_file.unlink)

    async def put(self, key: str, data: bytes, step: DurableStep) -> None:
        step.before()
        await _mapped(obstore.put_async(self._client, key, data, mode="overwrite"), key)
        step.after()

    async def get(self, key: str) -> bytes:
        reply = await _mapped(obstore.get_async(self._client, key), key)
        return bytes(await _mapped(reply.bytes_async(), key))

    async def get_range(self, key: str, start: int, length: int) -> bytes:
        if length == 0:
            return b""
        return bytes(await _mapped(obstore.get_range_async(self._client, key, start=start, length=length), key))

    async def size(self, key: str) -> int:
        return (await _mapped(obstore.head_async(self._client, key), key))["size"]

    async def exists(self, key: str) -> bool:
        try:
            await self.size(key)
        except HoldfastError as error:
            if error.kind is Kind.NOT_FOUND:
                return False
            raise
        return True

    async def list(self, prefix: str) -> Listing:
        folder = prefix.rstrip("/")
        try:
            found = await obstore.list(self._client, prefix=folder or None).collect_async()
        except (BaseError, OSError) as error:
            raise _translate(error, prefix) from error
        return sorted(Entry(meta["path"], meta["size"]) for meta in found)

    async def delete(self, keys: Sequence[str], step: DurableStep) -> None:
        step.before()
        if keys:
            await _mapped(obstore.delete_async(self._client, [*keys]), keys[0])
        step.after()

    async def _holds(self, key: str, data: bytes | Path) -> bool:
        size, digest = await asyncio.to_thread(_measure, data)
        if await self.size(key) != size:
            return False
        stored = hashlib.sha256()
        for start in range(0, size, _COMPARE_CHUNK_BYTES):
            stored.update(await self.get_range(key, start, min(_COMPARE_CHUNK_BYTES, size - start)))
        return stored.digest() == digest


def _measure(data: bytes | Path) -> tuple[int, bytes]:
    """Size and SHA-256."""
    if isinstance(data, bytes):
        return len(data), hashlib.sha256(data).digest()
    with data.open("rb") as source:
        return data.stat().st_size, hashlib.file_digest(source, "sha256").digest()


async def _mapped(call: Awaitable[T], key: str) -> T:
    try:
        return await call
    except (BaseError, OSError) as error:  # obstore raises some as builtin errors
        raise _translate(error, key) from error


def _translate(error: Exception, key: str) -> HoldfastError:
    if isinstance(error, NotFoundError | FileNotFoundError):
        return missing(key)
    if isinstance(error, AlreadyExistsError | PreconditionError):
        return conflict(key)
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return HoldfastError(Kind.FORBIDDEN, "The object store refuses our credentials.", detail=str(error)[:2000])
    return HoldfastError(Kind.UNAVAILABLE, "The object store is not reachable right now.", detail=str(error)[:2000])
